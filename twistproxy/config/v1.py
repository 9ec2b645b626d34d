V1_KEYS = {"listeners", "lds"}
def to_v3(tree): return tree, []
