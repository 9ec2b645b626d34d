"""Raw requests, well-formed, malformed and ambiguous, and what Envoy does with each.

An outcome is the answers' statuses and "close" if the connection is then closed. "wait" means no answer:
more is needed. As many whole requests reach the upstream as there are answers 200, else "up=N" says how many.
"""

from __future__ import annotations

from typing import NamedTuple

CRLF = "\r\n"
HOST = "Host: a\r\n"
POST = "POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"
LAST = "0\r\n\r\n"
NEXT = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


class Case(NamedTuple):
    """`stricter`: what twistproxy may do instead, where Envoy breaks a MUST of RFC 9110 or 9112 or takes
    what they allow to refuse.
    """

    name: str
    data: str
    outcome: str
    stricter: str | None = None


def line(first: str) -> str:
    """A request with this request line."""
    return f"{first}\r\n{HOST}\r\n"


def header(lines: str) -> str:
    """A GET with these further header lines (without the last CRLF)."""
    return f"GET / HTTP/1.1\r\n{HOST}{lines}\r\n\r\n"


def length(value: str, body: str = "12345") -> str:
    """A POST with this content-length."""
    return f"{POST}Content-Length: {value}\r\n\r\n{body}"


def coding(value: str, name: str = "Transfer-Encoding") -> str:
    """A POST with this transfer coding and a well-formed chunked body."""
    return f"{POST}{name}: {value}\r\n\r\n5\r\n12345\r\n{LAST}"


def chunk(text: str) -> str:
    """A chunked POST with this body."""
    return CHUNKED + text


REQUEST_LINE = [
    Case("plain", line("GET / HTTP/1.1"), "200"),
    Case("lower-case method", line("get / HTTP/1.1"), "400 close"),
    Case("mixed-case method", line("Get / HTTP/1.1"), "400 close"),
    Case("unknown method", line("FOO / HTTP/1.1"), "400 close"),
    Case("rare known method", line("PROPFIND / HTTP/1.1"), "200"),
    Case("no method", line(" / HTTP/1.1"), "400 close"),
    Case("method with a parenthesis", line("GE(T / HTTP/1.1"), "400 close"),
    Case("long method", line("A" * 300 + " / HTTP/1.1"), "400 close"),
    Case("space before the method", line(" GET / HTTP/1.1"), "400 close"),
    Case("two spaces before the target", line("GET  / HTTP/1.1"), "200", "400 close"),
    Case("two spaces before the version", line("GET /  HTTP/1.1"), "200", "400 close"),
    Case("tab before the target", line("GET\t/ HTTP/1.1"), "200", "400 close"),
    Case("tab before the version", line("GET /\tHTTP/1.1"), "200", "400 close"),
    Case("space after the version", line("GET / HTTP/1.1 "), "200", "400 close"),
    Case("word after the version", line("GET / HTTP/1.1 x"), "400 close"),
    Case("no version", line("GET /"), "426 close"),
    Case("no target", line("GET HTTP/1.1"), "400 close"),
    Case("method alone", line("GET"), "400 close"),
    Case("version 1.0", line("GET / HTTP/1.0"), "426 close"),
    Case("version 1.2", line("GET / HTTP/1.2"), "426 close"),
    Case("version 1.9", line("GET / HTTP/1.9"), "426 close"),
    Case("version 2.0", line("GET / HTTP/2.0"), "426 close"),
    Case("version 3.1", line("GET / HTTP/3.1"), "426 close"),
    Case("version 1.10", line("GET / HTTP/1.10"), "400 close"),
    Case("version 01.1", line("GET / HTTP/01.1"), "400 close"),
    Case("version 1", line("GET / HTTP/1"), "400 close"),
    Case("version with a comma", line("GET / HTTP/1,1"), "400 close"),
    Case("lower-case version", line("GET / http/1.1"), "400 close"),
    Case("other protocol", line("GET / HTTPS/1.1"), "400 close"),
    Case("space in the version", line("GET / HTTP/ 1.1"), "400 close"),
    Case("space in the target", line("GET /a b HTTP/1.1"), "400 close"),
    Case("NUL in the target", line("GET /a\0b HTTP/1.1"), "400 close"),
    Case("control byte in the target", line("GET /a\x01b HTTP/1.1"), "400 close"),
    Case("DEL in the target", line("GET /a\x7fb HTTP/1.1"), "400 close"),
    Case("high byte in the target", line("GET /a\xe9b HTTP/1.1"), "400 close"),
    Case("bare CR in the target", line("GET /a\rb HTTP/1.1"), "400 close"),
    Case("fragment", line("GET /a#b HTTP/1.1"), "400 close"),
    Case("fragment in the query", line("GET /a?b#c HTTP/1.1"), "400 close"),
    Case("relative target", line("GET a/b HTTP/1.1"), "400 close"),
    Case("query alone", line("GET ?a HTTP/1.1"), "400 close"),
    Case("asterisk with OPTIONS", line("OPTIONS * HTTP/1.1"), "404"),
    Case("asterisk with GET", line("GET * HTTP/1.1"), "400 close"),
    Case("CONNECT", line("CONNECT a:80 HTTP/1.1"), "404 close"),
    Case("CONNECT with a path", line("CONNECT / HTTP/1.1"), "400 close"),
    Case("authority as target of GET", line("GET a:80 HTTP/1.1"), "400 close"),
    Case("absolute target", line("GET http://b/c HTTP/1.1"), "200"),
    Case("absolute target without a path", line("GET http://b HTTP/1.1"), "200"),
    Case("absolute target, query alone", line("GET http://b?x HTTP/1.1"), "404"),
    Case("absolute target, https", line("GET https://b/c HTTP/1.1"), "200"),
    Case("absolute target, upper-case scheme", line("GET HTTP://b/c HTTP/1.1"), "200"),
    Case("absolute target, other scheme", line("GET ftp://b/c HTTP/1.1"), "400 close"),
    Case("absolute target, no authority", line("GET http:///c HTTP/1.1"), "400 close"),
    Case("absolute target, empty", line("GET http:// HTTP/1.1"), "400 close"),
    Case("absolute target, user", line("GET http://u:p@b/c HTTP/1.1"), "200", "400 close"),
    Case("absolute target, port too large", line("GET http://b:99999/c HTTP/1.1"), "400 close"),
    Case("absolute target, port of letters", line("GET http://b:x/c HTTP/1.1"), "400 close"),
    Case("absolute target, space", line("GET http://b /c HTTP/1.1"), "400 close"),
    Case("absolute target, name with an underscore", line("GET http://a_b/c HTTP/1.1"), "400 close"),
    Case("absolute target, name with an escape", line("GET http://a%62/c HTTP/1.1"), "400 close"),
    Case("absolute target, colon without a port", line("GET http://b:/c HTTP/1.1"), "400 close"),
    Case("absolute target, port alone", line("GET http://:80/c HTTP/1.1"), "400 close"),
    Case("absolute target, zone of an address", line("GET http://[::1%25lo]/c HTTP/1.1"), "400 close"),
    Case("target of CONNECT with an underscore", line("CONNECT a_b:80 HTTP/1.1"), "400 close"),
    Case("target of CONNECT, port too large", line("CONNECT b:99999 HTTP/1.1"), "400 close"),
    Case("backslash target", line("GET \\a HTTP/1.1"), "400 close"),
    Case("empty lines before", "\r\n\r\n" + line("GET / HTTP/1.1"), "200"),
    Case("bare LFs before", "\n\n" + line("GET / HTTP/1.1"), "200", "400 close"),
    Case("bare CR before", "\r" + line("GET / HTTP/1.1"), "200", "400 close"),
    Case("byte-order mark before", "\xef\xbb\xbf" + line("GET / HTTP/1.1"), "400 close"),
    Case("line ends with LF", "GET / HTTP/1.1\nHost: a\n\n", "200", "400 close"),
    Case("line ends with CR", "GET / HTTP/1.1\rHost: a\r\r", "wait", "400 close"),
    Case("line ends with CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "200", "400 close"),
    Case("TLS client hello", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", "400 close"),
    Case("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400 close"),
    Case("binary", "\x00\x01\x02\x03\x04\x05\r\n\r\n", "400 close"),
]

HOSTS = [
    Case("no host", "GET / HTTP/1.1\r\n\r\n", "400 close"),
    Case("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "200", "400 close"),
    Case("blank host", "GET / HTTP/1.1\r\nHost:   \r\n\r\n", "200", "400 close"),
    Case("two equal hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "200", "400 close"),
    Case("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "200", "400 close"),
    Case("host and empty host", "GET / HTTP/1.1\r\nHost: a\r\nHost:\r\n\r\n", "200", "400 close"),
    Case("hosts in a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "400 close"),
    Case("host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "200", "400 close"),
    Case("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 close"),
    Case("host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 close"),
    Case("host with a tab", "GET / HTTP/1.1\r\nHost: a\tb\r\n\r\n", "400 close"),
    Case("host with a question mark", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "400 close"),
    Case("host with a hash", "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", "400 close"),
    Case("host with a backslash", "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", "400 close"),
    Case("host with a port of letters", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "200", "400 close"),
    Case("host with a port too large", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", "200", "400 close"),
    Case("host with an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "200"),
    Case("port without a host", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "200", "400 close"),
    Case("host with a high byte", "GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n", "400 close"),
    Case("host with a control byte", "GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n", "400 close"),
    Case("unclosed address", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "200", "400 close"),
    Case("scheme in the host", "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", "400 close"),
    Case("percent in the host", "GET / HTTP/1.1\r\nHost: a%41\r\n\r\n", "200"),
    Case("underscore in the host", "GET / HTTP/1.1\r\nHost: a_b\r\n\r\n", "200"),
    Case("space before the colon of host", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400 close"),
    Case("absolute target without host", "GET http://a/ HTTP/1.1\r\n\r\n", "200"),
    Case("absolute target with another host", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "200"),
]

HEADERS = [
    Case("ordinary header", header("X-A: b"), "200"),
    Case("empty value", header("X-A:"), "200"),
    Case("no space after the colon", header("X-A:b"), "200"),
    Case("colons in the value", header("X-A: b:c::d"), "200"),
    Case("space before the colon", header("X-A : b"), "400 close"),
    Case("tab before the colon", header("X-A\t: b"), "400 close"),
    Case("space in the name", header("X A: b"), "400 close"),
    Case("space before the name of the first", "GET / HTTP/1.1\r\n X-A: b\r\nHost: a\r\n\r\n", "400 close"),
    Case("no name", header(": b"), "400 close"),
    Case("no colon", header("X-A"), "400 close"),
    Case("colon alone", header(":"), "400 close"),
    Case("pseudo header", header(":path: /x"), "400 close"),
    Case("folded", header("X-A: b\r\n c"), "200", "400 close"),
    Case("folded with a tab", header("X-A: b\r\n\tc"), "200", "400 close"),
    Case("folded after nothing", header("X-A:\r\n b"), "200", "400 close"),
    Case("blank line of spaces", header("X-A: b\r\n   "), "200", "400 close"),
    Case("NUL in a value", header("X-A: b\0c"), "400 close"),
    Case("NUL in a name", header("X\0A: b"), "400 close"),
    Case("bare CR in a value", header("X-A: b\rc"), "200", "400 close"),
    Case("bare CR in a name", header("X\rA: b"), "400 close"),
    Case("bare LF ends a header", header("X-A: b\nX-B: c"), "200", "400 close"),
    Case("CR CR LF ends a header", header("X-A: b\r\r\nX-B: c"), "200", "400 close"),
    Case("LF CR ends a header", header("X-A: b\n\rX-B: c"), "400 close"),
    Case("control byte in a value", header("X-A: b\x01c"), "400 close"),
    Case("vertical tab in a value", header("X-A: b\x0bc"), "400 close"),
    Case("escape in a value", header("X-A: \x1b[0m"), "400 close"),
    Case("DEL in a value", header("X-A: b\x7fc"), "400 close"),
    Case("tab in a value", header("X-A: b\tc"), "200"),
    Case("high byte in a value", header("X-A: b\xe9"), "200"),
    Case("high byte in a name", header("X-\xe9: b"), "400 close"),
    Case("underscore in a name", header("X_A: b"), "200"),
    Case("every token byte in a name", header("!#$%&'*+-.^_`|~09azAZ: b"), "200"),
    *(Case(f"{sign} in a name", header(f"X{sign}A: b"), "400 close") for sign in '(),/;<=>?@[\\]{}"'),
    Case("name without its value at the end", header("X-A: b\r\nX-B"), "400 close"),
    Case("unfinished head", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n", "wait"),
    Case("request line alone", "GET / HTTP/1.1\r\n", "wait"),
]

LENGTHS = [
    Case("length", length("5"), "200"),
    Case("length 0", length("0", ""), "200"),
    Case("spaces around the length", length("  5  "), "200"),
    Case("tab after the length", length("5\t"), "200"),
    Case("zero before the length", length("05"), "200"),
    Case("many zeros before the length", length("0" * 40 + "5"), "200"),
    Case("plus", length("+5"), "400 close"),
    Case("minus", length("-5"), "400 close"),
    Case("minus zero", length("-0", ""), "400 close"),
    Case("hexadecimal", length("0x5"), "400 close"),
    Case("decimal point", length("5.0"), "400 close"),
    Case("exponent", length("5e0"), "400 close"),
    Case("letters", length("five"), "400 close"),
    Case("letter after", length("5a"), "400 close"),
    Case("underscore", length("1_0", "1234567890"), "400 close"),
    Case("semicolon", length("5;"), "400 close"),
    Case("comma", length("5,"), "400 close"),
    Case("equal values in a list", length("5, 5"), "400 close"),
    Case("different values in a list", length("5, 6"), "400 close"),
    Case("two words", length("5 5"), "400 close"),
    Case("empty", length(""), "400 close"),
    Case("quoted", length('"5"'), "400 close"),
    Case("NUL after", length("5\0"), "400 close"),
    Case("vertical tab before", length("\x0b5"), "400 close"),
    Case("high digit", length("\xb2"), "400 close"),
    Case("over 64 bits", length("18446744073709551616"), "400 close"),
    Case("over 64 bits by a digit", length("99999999999999999999"), "400 close"),
    Case("folded length", length("\r\n 5"), "200", "400 close"),
    Case("two equal lengths", f"{POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345", "400 close"),
    Case("two lengths", f"{POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", "400 close"),
    Case("length and empty length", f"{POST}Content-Length: 5\r\nContent-Length:\r\n\r\n12345", "400 close"),
    Case("length with a space before the colon", f"{POST}Content-Length : 5\r\n\r\n12345", "400 close"),
    Case("length with an underscore", f"{POST}Content_Length: 5\r\n\r\n", "200"),
    Case(
        "length named by connection",
        f"{POST}Connection: content-length\r\nContent-Length: 5\r\n\r\n12345",
        "200",
        "400 close",
    ),
    Case("short body", length("6"), "wait"),
    Case("next request after a body", length("5") + NEXT, "200 200"),
    Case("garbage after a body", length("5", "12345garbage") + CRLF, "200 400 close"),
    Case("request within a body", length(str(len(NEXT)), NEXT), "200"),
    Case("GET with a body", f"GET / HTTP/1.1\r\n{HOST}Content-Length: {len(NEXT)}\r\n\r\n{NEXT}", "200"),
]

CODINGS = [
    Case("chunked", coding("chunked"), "200"),
    Case("mixed-case chunked", coding("Chunked"), "200"),
    Case("blanks around chunked", coding(" \t chunked \t "), "200"),
    Case("chunked twice", coding("chunked, chunked"), "501 close", "400 close"),
    Case("gzip and chunked", coding("gzip, chunked"), "501 close", "400 close"),
    Case("chunked and gzip", coding("chunked, gzip"), "501 close", "400 close"),
    Case("gzip", coding("gzip"), "501 close", "400 close"),
    Case("identity", coding("identity"), "501 close", "400 close"),
    Case("identity and chunked", coding("identity, chunked"), "501 close", "400 close"),
    Case("chunked and identity", coding("chunked, identity"), "501 close", "400 close"),
    Case("xchunked", coding("xchunked"), "501 close", "400 close"),
    Case("chunkedx", coding("chunkedx"), "501 close", "400 close"),
    Case("chunked with a parameter", coding("chunked;q=1"), "501 close", "400 close"),
    Case("quoted chunked", coding('"chunked"'), "501 close", "400 close"),
    Case("empty list item before", coding(",chunked"), "501 close", "400 close"),
    Case("empty list item after", coding("chunked,"), "501 close", "400 close"),
    Case("no coding", coding(""), "501 close", "400 close"),
    Case("vertical tab before chunked", coding("\x0bchunked"), "400 close"),
    Case("form feed after chunked", coding("chunked\x0c"), "400 close"),
    Case("NUL after chunked", coding("chunked\0"), "400 close"),
    Case("no-break space before chunked", coding("\xa0chunked"), "501 close", "400 close"),
    Case("folded chunked", coding("\r\n chunked"), "200", "400 close"),
    Case("chunked folded within", coding("chun\r\n ked"), "501 close", "400 close"),
    Case("space before the colon of a coding", coding("chunked", "Transfer-Encoding "), "400 close"),
    Case("tab before the colon of a coding", coding("chunked", "Transfer-Encoding\t"), "400 close"),
    Case("coding with an underscore", coding("chunked", "Transfer_Encoding"), "200 400 close"),
    Case("coding after a bare LF", coding("b\nTransfer-Encoding: chunked", "X-A"), "200", "400 close"),
    Case(
        "coding after a bare CR", coding("b\rTransfer-Encoding: chunked", "X-A"), "200 400 close", "400 close"
    ),
    Case("two codings", coding("chunked\r\nTransfer-Encoding: chunked"), "501 close", "400 close"),
    Case(
        "chunked, then identity", coding("chunked\r\nTransfer-Encoding: identity"), "501 close", "400 close"
    ),
    Case(
        "identity, then chunked", coding("identity\r\nTransfer-Encoding: chunked"), "501 close", "400 close"
    ),
    Case("length, then chunked", coding("5\r\nTransfer-Encoding: chunked", "Content-Length"), "400 close"),
    Case("chunked, then length", coding("chunked\r\nContent-Length: 5"), "400 close"),
    Case("length 0, then chunked", coding("0\r\nTransfer-Encoding: chunked", "Content-Length"), "400 close"),
    Case("length, then gzip", coding("5\r\nTransfer-Encoding: gzip", "Content-Length"), "400 close"),
    Case(
        "length, then odd chunked", coding("5\r\nTransfer-Encoding: xchunked", "Content-Length"), "400 close"
    ),
    Case(
        "coding named by connection", coding("chunked\r\nConnection: transfer-encoding"), "200", "400 close"
    ),
    Case("GET in chunks", CHUNKED.replace("POST", "GET") + LAST, "200"),
    Case("HTTP/1.0 in chunks", CHUNKED.replace("1.1", "1.0") + LAST, "426 close"),
]

CHUNKS = [
    Case("no chunk but the last", chunk(LAST), "200"),
    Case("two chunks", chunk(f"2\r\n12\r\n3\r\n345\r\n{LAST}"), "200"),
    Case("hexadecimal size", chunk(f"A\r\n1234567890\r\na\r\n1234567890\r\n{LAST}"), "200"),
    Case("zeros before the size", chunk(f"0005\r\n12345\r\n{LAST}"), "200"),
    Case("many zeros before the size", chunk(f"{'0' * 30}5\r\n12345\r\n{LAST}"), "200"),
    Case("last chunk of zeros", chunk("5\r\n12345\r\n0000\r\n\r\n"), "200"),
    Case("extension", chunk(f"5;a\r\n12345\r\n{LAST}"), "200"),
    Case("extension with a value", chunk(f"5;a=b;c=d\r\n12345\r\n{LAST}"), "200"),
    Case("quoted extension", chunk(f'5;a="b;c"\r\n12345\r\n{LAST}'), "200"),
    Case("extension of the last chunk", chunk("5\r\n12345\r\n0;a=b\r\n\r\n"), "200"),
    Case("blank before the extension", chunk(f"5 ;a=b\r\n12345\r\n{LAST}"), "200", "400 close"),
    Case("blank after the semicolon", chunk(f"5; a=b\r\n12345\r\n{LAST}"), "200", "400 close"),
    Case("empty extension", chunk(f"5;\r\n12345\r\n{LAST}"), "200", "400 close"),
    Case("NUL in an extension", chunk(f"5;a\0b\r\n12345\r\n{LAST}"), "200", "400 close"),
    Case("bare CR in an extension", chunk(f"5;a\rb\r\n12345\r\n{LAST}"), "400 close"),
    Case("bare LF ends an extension", chunk(f"5;a\n12345\r\n{LAST}"), "400 close"),
    Case("long extension", chunk(f"5;{'a' * 20000}\r\n12345\r\n{LAST}"), "200", "400 close"),
    Case("0x in a size", chunk(f"0x5\r\n12345\r\n{LAST}"), "400 close"),
    Case("plus in a size", chunk(f"+5\r\n12345\r\n{LAST}"), "400 close"),
    Case("minus in a size", chunk(f"-5\r\n12345\r\n{LAST}"), "400 close"),
    Case("blank before a size", chunk(f" 5\r\n12345\r\n{LAST}"), "400 close"),
    Case("blank after a size", chunk(f"5 \r\n12345\r\n{LAST}"), "200", "400 close"),
    Case("tab after a size", chunk(f"5\t\r\n12345\r\n{LAST}"), "200", "400 close"),
    Case("letter in a size", chunk(f"5g\r\n12345\r\n{LAST}"), "400 close"),
    Case("underscore in a size", chunk(f"0_5\r\n12345\r\n{LAST}"), "400 close"),
    Case("comma in a size", chunk(f"5,5\r\n12345\r\n{LAST}"), "400 close"),
    Case("empty size", chunk(f"\r\n12345\r\n{LAST}"), "400 close"),
    Case("word as a size", chunk(f"five\r\n12345\r\n{LAST}"), "400 close"),
    Case("size over 64 bits", chunk("10000000000000000\r\n12345\r\n"), "400 close"),
    Case("size over 64 bits by far", chunk(f"{'f' * 30}\r\n12345\r\n"), "400 close"),
    Case("bare LF after a size", chunk(f"5\n12345\r\n{LAST}"), "400 close"),
    Case("bare CR after a size", chunk(f"5\r12345\r\n{LAST}"), "400 close"),
    Case("bare LF after the data", chunk(f"5\r\n12345\n{LAST}"), "200", "400 close"),
    Case("nothing after the data", chunk(f"5\r\n12345{LAST}"), "400 close"),
    Case("data longer than the size", chunk(f"5\r\n1234567\r\n{LAST}"), "200", "400 close"),
    Case("data shorter than the size", chunk(f"5\r\n123\r\n{LAST}"), "400 close"),
    Case("bare LFs throughout", chunk("5\n12345\n0\n\n"), "400 close"),
    Case("no last chunk", chunk("5\r\n12345\r\n"), "wait"),
    Case("no end of the last chunk", chunk("5\r\n12345\r\n0\r\n"), "wait"),
    Case("trailer", chunk("0\r\nX-A: b\r\n\r\n"), "200"),
    Case("trailer with a space in its name", chunk("0\r\nX A: b\r\n\r\n"), "400 close"),
    Case("trailer without a colon", chunk("0\r\nX-A\r\n\r\n"), "400 close"),
    Case("trailer with a NUL", chunk("0\r\nX-A: b\0\r\n\r\n"), "400 close"),
    Case("folded trailer", chunk("0\r\nX-A: b\r\n c\r\n\r\n"), "200", "400 close"),
    Case("trailer content-length", chunk("0\r\nContent-Length: 5\r\n\r\n"), "200", "400 close"),
    Case("trailer transfer-encoding", chunk("0\r\nTransfer-Encoding: chunked\r\n\r\n"), "200", "400 close"),
    Case("trailer host", chunk("0\r\nHost: b\r\n\r\n"), "200", "400 close"),
    Case("next request after the last chunk", chunk(f"5\r\n12345\r\n{LAST}") + NEXT, "200 200"),
    Case("garbage after the last chunk", chunk(f"5\r\n12345\r\n{LAST}garbage\r\n"), "200 400 close"),
    Case("request as chunk data", chunk(f"{len(NEXT):x}\r\n{NEXT}\r\n{LAST}"), "200"),
]

SEQUENCES = [
    Case("good, then bad", NEXT + line("get / HTTP/1.1"), "200 400 close"),
    Case("bad, then good", line("get / HTTP/1.1") + NEXT, "400 close"),
    Case("two good", NEXT + NEXT, "200 200"),
    Case("good, then unfinished", NEXT + "GET /", "200"),
    Case("close, then good", header("Connection: close") + NEXT, "200 close"),
    Case("bad coding, then good", coding("xchunked") + NEXT, "501 close", "400 close"),
    Case(
        "length and chunked, then good",
        coding("5\r\nTransfer-Encoding: chunked", "Content-Length") + NEXT,
        "400 close",
    ),
    Case("upgrade, then good", header("Connection: upgrade\r\nUpgrade: websocket") + NEXT, "403 close"),
    Case(
        "h2c upgrade with a body",
        POST
        + "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        + "Content-Length: 5\r\n\r\n12345"
        + NEXT,
        "200 200",
    ),
    Case("CONNECT, then good", line("CONNECT a:80 HTTP/1.1") + NEXT, "404 close"),
    Case("unknown expectation", header("Expect: 200-ok"), "200"),
    Case("two expectations", header("Expect: 100-continue\r\nExpect: 100-continue"), "200"),
    Case("empty lines between", NEXT + "\r\n\r\n" + NEXT, "200 200"),
    Case("nothing but an empty line", "\r\n", "wait"),
]

CASES = [*REQUEST_LINE, *HOSTS, *HEADERS, *LENGTHS, *CODINGS, *CHUNKS, *SEQUENCES]
