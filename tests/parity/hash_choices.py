"""Which of the hosts a, b and c Envoy 1.40 chose: what `test_hash_policies.py` and the balancers' unit tests expect."""

from __future__ import annotations

#: Cluster → the hosts of the keys "key-0" to "key-199".
CHOICES = {
    "ring": (
        "cacaaabaaccabaaaccbaababcbcbcbbcacbacbabcbccbbbbbccbbacbbabbabbcacccabbcaabababbabcbcabbacaacccbaabc"
        "cacaabbbaccbaabaaabacabbaabaaabababbaacbbbacccbaccbababacacacacbbacaccbacbbabcccbcbabcbabaabcaccbbca"
    ),
    "ring-murmur": (
        "bacccbbcaababccaacaacabcaabaaabbbacaaababacbcacaaabbaabcccbbbbaccbcbbabaccabcbcbaacaabbabbaaaacacaab"
        "baabcbcbcbcbbaccccaacccabaaccbcbaabcacccaacbaccacacaccaaacbabcaacaaccbacabbabbaccbccbababcbbccababcc"
    ),
    "ring-small": (
        "cccaacccccbccccbbcaccccccccbcccccccccabbcccccbcccccbacccccbcccccccaccbccacccacccbcaccccccbaccccbcccc"
        "bccacccccbccccccccccccccabccacacccccccbcccabcccabccccccccbbccccccccbccccbcccccccccccccbbccccccccccac"
    ),
    "ring-weighted": (
        "cacccaacbccccaacccccccabcbccccbcacbacccbcbcccccbbccccacbcabbacccccccaccccbbcbacbaccbcabbcccccccbaabc"
        "cbcacbbbcccbacbcccbcccbbacbacaccbabcaccbbbcccccaccccbabccccacbccbccaccbccbbcbcccbcbabcbcbaaccccccbcc"
    ),
    "ring-named": (
        "babbaccbbbbcbabcbbacbaabbcacccccaaacbbccbaabccabbbcbacabbcbcabbcbcbbccbbaccbccaccbccbccbbaabcbbabbbc"
        "bbacabacaacabacbcccbcbcccbacbccbacbcaacabbbbcabacbccabbabbbacbcabbabbbcacabbaccbcccbbaacbacaccbbbbaa"
    ),
    "ring-bounded": (
        "cacaaabaaccabaaaccbaababcbcbcbbcacbacbabcbccbbbbbccbbacbbabbabbcacccabbcaabababbabcbcabbacaacccbaabc"
        "cacaabbbaccbaabaaabacabbaabaaabababbaacbbbacccbaccbababacacacacbbacaccbacbbabcccbcbabcbabaabcaccbbca"
    ),
    "ring-localities": (
        "cacacaaabccacaaccccbcaabcbccccbcacbacccbcbcccbcbbccccacbcacbacccacccacccaaaaaacbabcbcacbccaccccbaabc"
        "cbcacbbbcccbaabacbbacabaaabaaacababcaacbbbcccccaccccbabccccacaccbccacccacbbabcccbcbabcbabaacccccabca"
    ),
    "maglev-localities": (
        "bbcccaccbcccccbcbaacccccacaaccccbccbcccaccccccbaaaccacccbbacccaabbbbcaaacccaccbcacbbccabcccccccaccca"
        "bbcccaccacaaacaccbcbbacabaabacaccccbccabcccacaaacbccccacbcccbccbbcaccbcbaabcbbabbcccbaccaaccaacaccca"
    ),
    "ring-spilled": (
        "acaaaaaaabaaabaabaaacbaaaaacababaaaacabaaaacaaaaacaaaaaaaabbaaaaaaacaaaababbbaaacaaaaabaaacbaccacabc"
        "aaacabbacccaaaaacbacaaaaaaaaaccaaabcabababaaaacacaaaabbaaacaaacaacaaaaaacbaabccaaabaaaaabaaacaaaaaac"
    ),
    "maglev": (
        "bbbccabcbacccababaabacbcaaaabccabccbbccabcaaccbaaabaaabbbbacbcaabbbbbaaacacbcbbcabbbccabcbbccacacbca"
        "bbbccaccabaaacacabcbbacabaabbbacbacbccabbbaabaaacbccccabbcaabacbbbabcbcbaabcbbabbacabacbaaccaacacbaa"
    ),
    "maglev-small": (
        "bacbacbccabcccacbcccacacccaabcaabbccacabcbccbaabbcccbaabbccbaaaacbbaaaacbbbabbccaacbbcbcabaabaacccaa"
        "bcccacaaccccbbbababcbcbaaabcaabbbbcbaabacbcbacaaaababccbabcaaaabccacabbacbcaacbcaacccbbccacababbabba"
    ),
    "maglev-weighted": (
        "bbcccaccbcccccbcbcbcccccacacccccbccbcccbccccccbaccccccccbbacccacbbbbcabccccbccbcacbbccabccccccccccca"
        "bbcccaccbcccbcaccbcbbacabaabcccccccbccabcccaccaacbccccbcbcccbccbbcaccbcbaabcbbabbcccbcccaaccaacaccca"
    ),
    "ring-extension": (
        "bbcccbccabacacbaaacabaaccacbcbbaccbcbcbcbbbccbcbbacbccbbacabacabbacacbbcccabcccbabacacbbbbcccbabbcba"
        "bbacbacacbccbbbacacaacaaaacccbaacabcbcacbacccccccacbbbbabaabcbacacbacbabbbcbcacccbcbbcbabcbbbcabcbcb"
    ),
    "maglev-extension": (
        "abcacabbcbbbaaaabbacabcccacbccaaccccbbbbaacacaacbaacbbabbbcccaacacbabaaabbabaaaacaabaaccbcbcabbcccaa"
        "abbaacbacbccbabbbccacbbbbccbacbabbbcaacbccbaababbbabbbcaacaaccbacbabcabababcbbbaaacaccbbbacbcacbbacb"
    ),
}

#: Hash policy → the hosts of the first forty keys in the cluster "ring".
POLICY_CHOICES = {
    "header": "cacaaabaaccabaaaccbaababcbcbcbbcacbacbab",
    "rewritten": "cacaaabaaccabaaaccbaababcbcbcbbcacbacbab",
    "pseudo": "bbaabcaaabacbaccabaccbabaaccccbbcbccaccc",
    "authority": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "host": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "several": "cacbacabaaaccbbcbcbbabaabcbccccacabbccac",
    "cookie": "cacaaabaaccabaaaccbaababcbcbcbbcacbacbab",
    "given": "cacaaabaaccabaaaccbaababcbcbcbbcacbacbab",
    "session": "cacaaabaaccabaaaccbaababcbcbcbbcacbacbab",
    "query": "cacaaabaaccabaaaccbaababcbcbcbbcacbacbab",
    "address": "caacbcabcacbaaacbabacccaaabcccbbbaaacbbb",
    "both": "aaacabccbabaabbbaacbaacbcababcbbcbbaccbc",
    "twice": "bacbcaabbaaccccccababbbbbaacaacaaccabbcb",
    "terminal": "cacaaabaaccabaaaccbaababcbcbcbbcacbacbab",
    "late-terminal": "acbabbbcccabbcbacabcbccbabcbaaabcbbaaaaa",
}
