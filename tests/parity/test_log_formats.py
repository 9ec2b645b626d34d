"""Formats of access logs: text from every source, JSON with its types, what is absent, odd bytes; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .harness import Proxy
from .settings import FILE_LOG, Config, bootstrap, cluster, listener, read, routes_to

pytestmark = pytest.mark.parity

REQUEST = (
    b"GET /u?q=1&e= HTTP/1.1\r\nhost: log.test:81\r\nx-one: first\r\nx-empty:\r\n"
    b"x-odd: a\"b\\c/d\t\xff\xe9e\x80<>&'\r\nx-utf: \xc3\xa9\xe2\x82\xac\r\n\r\n"
)

JSON = read("""
z: "%REQ(X-ONE)%"
a: {y: "%RESPONSE_CODE%", b: ["%RESPONSE_CODE%", lit, 3, true, null, {k: "%REQ(NONE)%"}, []], c: {}}
B: "%REQ(NONE)% %REQ(X-ONE)%"
n: "%REQ(NONE)%"
t: true
nul: null
empty: ""
pct: "100%%"
two: "%RESPONSE_CODE%%RESPONSE_CODE%"
pre: "a%RESPONSE_CODE%"
e: "%REQ(X-EMPTY)%"
flags: "%RESPONSE_FLAGS%"
long: "%RESPONSE_FLAGS_LONG%"
count: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
env: "%ENVIRONMENT(NO_SUCH_VARIABLE)%"
sent: "%BYTES_SENT%"
cut: "%REQ(X-ONE):2%"
""")
OMITTED = read("""
n: "%REQ(NONE)%"
o: {n: "%REQ(NONE)%"}
l: ["%REQ(NONE)%", 1]
k: ["%REQ(NONE)%"]
m: "%REQ(NONE)% %REQ(X-ONE)%"
e: "%REQ(X-EMPTY)%"
flags: "%RESPONSE_FLAGS%"
nul: null
d: {}
two: "%REQ(NONE)%%REQ(NONE)%"
lit: ""
""")
ODD = {
    'é"\\\n': "%REQ(X-ODD)%",
    "literal": "\u00e9\"\\/\t\u007f\u0001<>&'\u2028",
    "mixed": "x%REQ(X-ODD)%",
    "cut": "%REQ(X-UTF):1%",
    "whole": "%REQ(X-UTF)%",
}
ODD_LINE = (
    b'{"cut":"\\u00c3","literal":"\xc3\xa9\\"\\\\/\\t\x7f\\u0001<>&\'\xe2\x80\xa8",'
    b'"mixed":"xa\\u0022b\\u005cc/d\\u0009\\u00ff\\u00e9e\\u0080<>&\'","whole":"\xc3\xa9\xe2\x82\xac",'
    b'"\xc3\xa9\\"\\\\\\n":"a\\u0022b\\u005cc/d\\u0009\\u00ff\\u00e9e\\u0080<>&\'"}\n'
)
#: file: fields of the logger, and what is in the file after one request
FORMATS: dict[str, tuple[Config, bytes]] = {
    "json": (
        {"log_format": {"json_format": JSON}},
        b'{"B":"- first","a":{"b":[200,"lit",3,true,null,{"k":null},[]],"c":{},"y":200},"count":1,"cut":"fi",'
        b'"e":"","empty":"","env":"-","flags":"-","long":"-","n":null,"nul":null,"pct":"100%","pre":"a200",'
        b'"sent":5,"t":true,"two":"200200","z":"first"}\n',
    ),
    "omit": (
        {"log_format": {"omit_empty_values": True, "json_format": OMITTED}},
        b'{"e":"","flags":"-","k":[],"l":[1],"lit":"","m":" first","two":""}\n',
    ),
    "nothing": ({"log_format": {"omit_empty_values": True, "json_format": {"n": "%REQ(NONE)%"}}}, b"{}\n"),
    "sorted": (
        {"log_format": {"json_format_options": {"sort_properties": False}, "json_format": {"b": 1, "a": 2}}},
        b'{"a":2,"b":1}\n',
    ),
    "odd": ({"log_format": {"json_format": ODD}}, ODD_LINE),
    "text": (
        {
            "log_format": {
                "omit_empty_values": True,
                "text_format_source": {
                    "inline_string": "[%REQ(NONE)%|%RESPONSE_FLAGS%|%ENVIRONMENT(NO_SUCH_VARIABLE)%|%REQ(X-EMPTY)%]\n"
                },
            }
        },
        b"[|-|-|]\n",
    ),
    "empty": ({"log_format": {"text_format_source": {"inline_string": "[%REQ(X-EMPTY?X-ONE)%]\n"}}}, b"[]\n"),
    "bytes": (
        {
            "log_format": {
                "text_format_source": {"inline_string": "%REQ(X-ODD)%|%REQ(X-UTF)%|%REQ(X-UTF):1%\n"}
            }
        },
        b"a\"b\\c/d\t\xff\xe9e\x80<>&'|\xc3\xa9\xe2\x82\xac|\xc3\n",
    ),
    "text_format": ({"log_format": {"text_format": "%REQ(:PATH)% old\n"}}, b"/u?q=1&e= old\n"),
    "format": ({"format": "%REQ(:PATH)% older\n"}, b"/u?q=1&e= older\n"),
    "json_format": (
        {"json_format": {"c": "%RESPONSE_CODE%", "n": "%REQ(NONE)%"}},
        b'{"c":200,"n":null}\n',
    ),
    "typed_json_format": (
        {"typed_json_format": {"c": "%RESPONSE_CODE%", "n": "%REQ(NONE)%"}},
        b'{"c":200,"n":null}\n',
    ),
    "no_query": (
        {
            "log_format": {
                "text_format_source": {"inline_string": "%REQ_WITHOUT_QUERY(NONE?:PATH)%\n"},
                "formatters": [
                    {
                        "name": "envoy.formatter.req_without_query",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"
                        },
                    }
                ],
            }
        },
        b"/u\n",
    ),
}
#: A format, and what the refusal of it says.
BAD = {
    "%NOPE%": "Not supported field in StreamInfo: NOPE",
    "%REASONS%": "Not supported field in StreamInfo: REASONS",
    "%REQ_WITHOUT_QUERY(:PATH)%": "Not supported field in StreamInfo: REQ_WITHOUT_QUERY",
    "%DURATION(x)%": "DURATION does not take any parameters or length",
    "%DURATION:3%": "DURATION does not take any parameters or length",
    "%REQ%": "REQ requires parameters",
    "%START_TIME:3%": "START_TIME does not allow length to be specified.",
    "%START_TIME(%n)%": "Invalid header configuration. Format string contains newline.",
    "100%": "Incorrect configuration: 100%. Couldn't find valid command at position 3",
    "%DURATION% %": "Incorrect configuration: %DURATION% %. Couldn't find valid command at position 11",
    "%duration%": "Couldn't find valid command at position 0",
    "%REQ(x):-1%": "Couldn't find valid command at position 0",
    "%REQ(a?b?c)%": "More than 1 alternative header specified in token: a?b?c",
    "%REQ(a b)%": "Invalid header configuration. Format string contains invalid characters.",
    "%PATH(X)%": "Invalid PATH option: 'X', only 'WQ'/'NQ' are allowed",
    "%PATH(WQ:X)%": "Invalid PATH option: 'X', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed",
    "%QUERY_PARAMS(X)%": "Invalid QUERY_PARAMS option: 'X', only 'ORIG'/'DECODED' are allowed",
    "%REQUESTED_SERVER_NAME(X)%": "Invalid REQUESTED_SERVER_NAME option: 'X', only 'SNI_ONLY'/'SNI_FIRST'/'HOST_FIRST'",
    "%GRPC_STATUS(X)%": "GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: X",
    "%METADATA(X:a)%": "X is not supported type of metadata",
    "%FILTER_STATE%": "Invalid filter state configuration, key cannot be empty.",
    "%FILTER_STATE(a:X)%": "Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.",
    "%FILTER_STATE(a:FIELD)%": "Invalid filter state serialize type, FIELD should be used with the field name.",
    "%COMMON_DURATION(a)%": "Invalid common duration configuration: a.",
    "%COMMON_DURATION(a:b:c)%": "Invalid common duration precision: c.",
    "%COALESCE({})%": "COALESCE: JSON configuration must contain 'operators' array",
    '%COALESCE({"operators":[]})%': "COALESCE: 'operators' array must not be empty",
    '%COALESCE({"operators":["X"]})%': "COALESCE: failed to parse operator at index 0: unknown command: 'X'",
}


def file_log(path: Path, fields: Config) -> Config:
    return {"name": "log", "typed_config": {"@type": FILE_LOG, "path": str(path), **fields}}


def configure(proxy: Proxy) -> Config:
    source = proxy.directory / "format.txt"
    source.write_text("from a file %REQ(:PATH)%\n")
    logs = [file_log(proxy.log(name).path, fields) for name, (fields, _) in FORMATS.items()]
    form = {"text_format_source": {"filename": str(source)}}
    logs.append(file_log(proxy.log("file").path, {"log_format": form}))
    main = listener("main", proxy.port(), routes_to("app"), access_log=logs)
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


@pytest.fixture(scope="module")
def asked(proxy: Proxy) -> Proxy:
    with proxy.client() as client:
        client.send(REQUEST)
        assert client.read().status == 200
    return proxy


@pytest.mark.parametrize("name", FORMATS)
def test_line(asked: Proxy, name: str) -> None:
    asked.log(name).line("")
    assert asked.log(name).path.read_bytes() == FORMATS[name][1]


def test_format_from_a_file(asked: Proxy) -> None:
    assert asked.log("file").line("") == "from a file /u?q=1&e="


def with_format(directory: Path, fields: Config) -> Config:
    drawing = Proxy("twistproxy", directory)
    main = listener(
        "main", drawing.port(), routes_to("app"), access_log=[file_log(Path("/dev/null"), fields)]
    )
    return bootstrap(drawing.port("admin"), [main], [cluster("app", 1)])


@pytest.mark.parametrize("engine", ["envoy", "twistproxy"])
def test_refused_formats(engine: str, tmp_path: Path) -> None:
    """One by one at Envoy, which stops at the first; twistproxy tells all at once."""
    if engine == "envoy":
        for text, words in BAD.items():
            form = {"log_format": {"text_format_source": {"inline_string": text}}}
            assert words in refusal(engine, with_format(tmp_path, form), tmp_path), text
        return
    config = with_format(tmp_path, {})
    logs: list[Any] = [
        file_log(Path("/dev/null"), {"log_format": {"text_format_source": {"inline_string": text}}})
        for text in BAD
    ]
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["access_log"] = logs
    said = refusal(engine, config, tmp_path)
    for number, words in enumerate(BAD.values()):
        place = f"access_log[{number}].typed_config.log_format.text_format_source: "
        assert place in said and words in said.split(place)[1].split("\n")[0]


def refusal(engine: str, config: Config, directory: Path) -> str:
    """What an engine says to a configuration that it must refuse."""
    import subprocess

    from .harness import command

    file = directory / "config.yaml"
    file.write_text(json.dumps(config))
    words = [word for word in command(engine, file) if word not in ("--unsupported", "warn")]
    found = subprocess.run([*words, "--mode", "validate"], capture_output=True, text=True, timeout=90)
    assert found.returncode == 1, found.stdout
    return found.stderr
