"""What columns of a database may hold that is more than a number: pictures, sounds, texts, JSON, XML."""

from fastnn.databases.decoded import Audio as Audio, Image as Image, Json as Json, Text as Text, Xml as Xml

__all__ = ["Audio", "Image", "Json", "Text", "Xml"]
