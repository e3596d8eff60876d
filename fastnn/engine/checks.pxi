"""What a network is made of, looked at before it runs."""


cdef int _check_ops(tuple ops, tuple sources, tuple widths, tuple outputs, tuple added, tuple masks) except -1:
    """Each op must read what is there before it, of the width that it expects, and belong to no other network."""
    cdef Op op, giver
    if not ops:
        raise ValueError("a network needs at least one op")
    if len(sources) != len(ops):
        raise ValueError(f"{len(ops)} ops need as many tuples of sources, got {len(sources)}")
    for i, op in enumerate(ops):
        if op.reads == NULL or op.units < 1 or op.size < 0 or op.slices < 1:
            raise ValueError(f"an op of {op.inputs} inputs and {op.units} units cannot be")
        if op.w != NULL or ops.count(op) > 1:
            raise ValueError("an op belongs to one network; make a new one")
        if len(sources[i]) != op.read_count:
            raise ValueError(f"op {i} reads {op.read_count} sources, got {len(sources[i])}")
        for source, width in zip(sources[i], op.widths, strict=True):
            if not -len(widths) <= source < i:
                raise ValueError(f"op {i} reads source {source}, which is no input and no op before it")
            if source >= 0:
                giver = ops[source]
                before = giver.units * giver.slices
            else:
                before = widths[-1 - source]
            if before != width * op.slices:
                raise ValueError(f"an op of {width * op.slices} inputs follows one of {before} units")
            if source < 0 and op.slices > 1:
                raise ValueError(f"op {i} reads slices of an input; put an op that copies it in between")
    if not outputs or not all(0 <= place < len(ops) for place in outputs):
        raise ValueError(f"outputs must be places of ops from 0 to {len(ops) - 1}, got {outputs}")
    if not all(0 <= place < len(ops) for place in (*added, *masks)):
        raise ValueError(f"added losses and masks must be of ops from 0 to {len(ops) - 1}, got {added}, {masks}")
    unread = set(range(len(ops))) - {source for each in sources for source in each} - {*outputs, *added, *masks}
    if unread:
        raise ValueError(f"nothing reads the output of op {min(unread)}")
    return 0
