"""Statistics that members push, and the method `stats` that goes by them."""

from harness.farms import farm


def test_a_formula_that_cannot_work_stops_the_start(make_httpd, backends):
    urls = backends(2).urls
    server = make_httpd("event")
    said = server.refuses("AthEngine On\n" + farm(urls, settings="lbmethod=stats"))
    assert "farm farm_one: lbmethod=stats needs score=FORMULA" in said
    said = server.refuses(farm(urls, settings='lbmethod=stats score="load +"'))
    assert "score=load +: must be a formula" in said and "at position 7" in said, said
    said = server.refuses(farm(urls, settings='lbmethod=stats score="q + 1"'))
    assert 'at position 1 "q": a statistic\'s name has 2 to 32 letters' in said, said
    said = server.refuses(farm(urls, each='score="load"'))
    assert "score belongs to the farm" in said


def test_a_formula_without_its_method_is_warned_of(httpd, backends):
    server = httpd("event", conf=farm(backends(2).urls, settings="lbmethod=leastconn score=load"))
    server.expect("ATH0300: farm farm_one: score= has no effect without lbmethod=stats")
    assert len(server.lines("ATH0300")) == 1
