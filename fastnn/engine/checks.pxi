"""What a network is made of, looked at before it runs."""


cdef bint _are_places(tuple places, Py_ssize_t count) except -1:
    cdef Py_ssize_t place
    for place in places:
        if not 0 <= place < count:
            return False
    return True


cdef int _check_ops(tuple ops, tuple sources, tuple widths, tuple outputs, tuple added, tuple masks) except -1:
    """Each op must read what is there before it, of the width that it expects, and belong to no other network."""
    cdef Op op, giver
    cdef Py_ssize_t count = len(ops), inputs = len(widths), i, k, source, width, before
    cdef tuple given
    if not ops:
        raise ValueError("a network needs at least one op")
    if len(sources) != count:
        raise ValueError(f"{count} ops need as many tuples of sources, got {len(sources)}")
    unread = set(range(count))
    for i in range(count):
        op, given = ops[i], sources[i]
        if op.reads == NULL or op.units < 1 or op.size < 0 or op.slices < 1:
            raise ValueError(f"an op of {op.inputs} inputs and {op.units} units cannot be")
        if op.w != NULL or ops.count(op) > 1:
            raise ValueError("an op belongs to one network; make a new one")
        if len(given) != op.read_count:
            raise ValueError(f"op {i} reads {op.read_count} sources, got {len(given)}")
        for k in range(op.read_count):
            source, width = given[k], op.reads[k].lines * op.reads[k].width * op.slices
            if not -inputs <= source < i:
                raise ValueError(f"op {i} reads source {source}, which is no input and no op before it")
            if source >= 0:
                giver = ops[source]
                before = giver.units * giver.slices
            else:
                before = widths[-1 - source]
            if before != width:
                raise ValueError(f"an op of {width} inputs follows one of {before} units")
            if source < 0 and op.slices > 1:
                raise ValueError(f"op {i} reads slices of an input; put an op that copies it in between")
            unread.discard(source)
    if not outputs or not _are_places(outputs, count):
        raise ValueError(f"outputs must be places of ops from 0 to {count - 1}, got {outputs}")
    if not _are_places(added, count) or not _are_places(masks, count):
        raise ValueError(f"added losses and masks must be of ops from 0 to {count - 1}, got {added}, {masks}")
    unread.difference_update(outputs, added, masks)
    if unread:
        raise ValueError(f"nothing reads the output of op {min(unread)}")
    return 0
