"""A farm of three that is changed over the API while eight children serve it."""

from harness.farms import served

FARM = "/farms/farm_one"
ALLOWED = "AthMemberAllow http://127.0.0.0/8\n"


def member(members, n):
    return f"{FARM}/members/127.0.0.1:{members.ports[n]}"


def start(httpd, members, mpm="event", balancer=False, **options):
    settings = options.pop("settings", "lbmethod=roundrobin")
    conf = options.pop("conf", "")
    return httpd(mpm, balancer=balancer, children=8,
                 conf=served(members.urls, settings=settings, **options) + conf)
