"""The API is what its OpenAPI document says, whatever schemathesis makes of that."""

import json
import subprocess

import pytest
from harness.api import Api
from harness.farms import farm
from harness.paths import ROOT

DOCUMENT = json.loads((ROOT / "src/api/openapi.json").read_text())
SEED, EXAMPLES = "7", "15"

ALLOWED = "AthMemberAllow http://127.0.0.1\nProxyHCTemplate short hcmethod=TCP\n"

# What no schema can say: whether there is such a member already, whether anybody has changed anything.
CONFIG = """
[[operations]]
include-operation-id = "addMember"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "403", "409"]
[[operations]]
include-operation-id = ["listFarms", "listMembers"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "403", "404", "409"]
[[operations]]
include-operation-id = ["changeFarm", "changeMember", "removeMember"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "403", "404", "409", "412"]
[operations.checks.negative_data_rejection]
expected-statuses = ["400", "403", "404", "409", "412", "415", "422"]
"""


def narrowed(members):
    """The document for a server: which farms, members and methods it has, and no field unnamed."""
    document = json.loads(json.dumps(DOCUMENT))
    parts = document["components"]
    schemas = parts["schemas"]
    for schema in schemas.values():
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    parts["parameters"]["farm"]["schema"] = {"enum": ["farm_one", "farm_two"]}
    parts["parameters"]["member"]["schema"] = {"enum": members}
    farms, of_members = (schemas[name]["properties"] for name in ("FarmChange", "MemberChange"))
    farms["method"] = {"enum": ["roundrobin", "leastconn", "leasttime", "random", "traffic"]}
    farms["fallback"] = {"enum": ["redirect:http://127.0.0.1:9/", "http://127.0.0.1:9/", None]}
    for change in (farms, of_members):
        change["forward"] = {"enum": ["farm_three", "http://127.0.0.1:9/", None]}
    by_name = farms["members"]
    by_name["properties"] = dict.fromkeys(members, by_name["additionalProperties"])
    by_name["additionalProperties"] = False
    newcomer = schemas["NewMember"]
    newcomer["maxProperties"] = 8  # What fits 512 bytes.
    for other in ("loadfactor", "status"):  # What other keys say as well.
        del newcomer["properties"][other]
    newcomer["properties"] |= {
        "url": {"enum": [f"http://127.0.0.1:{port}{path}" for port in range(11, 16)
                         for path in ("", "/a")]},
        "forward": of_members["forward"],
        "agent": {"enum": [":9", "127.0.0.1:9", None]},
        "flushpackets": {"enum": ["on", "off", "auto", None]},
        "hcmethod": {"enum": ["None", "TCP", "GET11", None]},
        "hctemplate": {"enum": ["short", None]}}
    return document


@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_the_api_is_what_it_says(httpd, directory, mpm):
    urls = ["http://127.0.0.1:9/a/b", "http://127.0.0.1:9"]
    server = httpd(mpm, conf=ALLOWED + "".join(
        farm(urls, name=name) for name in ("farm_one", "farm_two", "farm_three")),
        modules=["proxy_hcheck"])
    server.expect(r"ATH0254|ATH0304|ATH0370")
    members = [member["name"] for member in Api(server).get("/farms/farm_one/members")]
    (directory / "openapi.json").write_text(json.dumps(narrowed(members)))
    (directory / "schemathesis.toml").write_text(CONFIG)
    program = subprocess.run([ROOT / "ci/schemathesis"], check=True, text=True, capture_output=True)
    run = subprocess.run(
        [program.stdout.strip(), "--config-file", "schemathesis.toml", "run", "openapi.json",
         "--url", f"http://127.0.0.1:{server.port}/athena/api/v1", "--checks", "all", "--no-color",
         "--seed", SEED, "--max-examples", EXAMPLES, "--continue-on-failure", "--warnings", "off"],
        cwd=directory, text=True, capture_output=True)
    print(run.stdout, run.stderr)
    assert run.returncode == 0


def test_each_parameter_of_a_newcomer_is_as_described(httpd):
    server = httpd("event", conf=ALLOWED + "".join(
        farm(["http://127.0.0.1:9"], name=name) for name in ("farm_one", "farm_two")),
        modules=["proxy_hcheck"])
    server.expect("ATH0370")
    api, members = Api(server), "/farms/farm_one/members"
    parameters = dict(DOCUMENT["components"]["schemas"]["NewMember"]["properties"])
    del parameters["url"]

    def post(**fields):
        answer = api.ask("POST", members, {"url": "http://127.0.0.1:10", **fields})
        if answer.status == 201:
            name = json.loads(answer.body)["name"]
            assert api.ask("DELETE", f"{members}/{name}?force=1").status == 204
        return answer.status

    for name, schema in parameters.items():
        good, bad = list(schema.get("examples", [])), [[], {}]
        ranged = next((one for one in schema.get("anyOf", []) if "minimum" in one), schema)
        if "minimum" in ranged:
            good += [ranged["minimum"], ranged["maximum"]]
            bad += [ranged["minimum"] - 1, ranged["maximum"] + 1, True, "", "x", "1 2"]
        elif "boolean" in schema["type"]:
            good += [True, False, "on", "Off"]
            bad += [1, "yes", ""]
        else:
            bad += [1, True, "\x01", "x" * 600]
        assert good
        for value in good + [None]:
            assert post(**{name: value}) == 201, (name, value)
        for value in bad:
            assert post(**{name: value}) == 422, (name, value)


def test_the_document_is_served(httpd):
    server = httpd("event", conf=farm(["http://127.0.0.1:9"]))
    answer = Api(server).ask("GET", "/openapi.json")
    assert (answer.status, answer.header("Content-Type")) == (200, "application/json")
    assert json.loads(answer.body) == DOCUMENT
    assert Api(server).ask("POST", "/openapi.json", {}).status == 405


def test_a_slash_in_a_members_name_may_be_encoded(httpd):
    server = httpd("event", conf=farm(["http://127.0.0.1:9/a", "http://127.0.0.1:9/b%"]))
    server.expect(r"AH10244: invalid URI path")
    api = Api(server)
    for name in ("127.0.0.1:9/a", "127.0.0.1:9%2Fa", "127.0.0.1%3a9%2f%61"):
        assert api.get(f"/farms/farm_one/members/{name}")["name"] == "127.0.0.1:9/a"
    for name in ("127.0.0.1:9%252Fa", "127.0.0.1:9%2Fa%00", "127.0.0.1:9%2", "..%2Fmembers"):
        assert api.ask("GET", f"/farms/farm_one/members/{name}").status in (400, 404), name
