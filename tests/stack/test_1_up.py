"""Everything is up, and as shut in as the compose file says."""

import pytest
from stack import SERVICES, compose, container, healthy, inside, until


@pytest.mark.parametrize("service", SERVICES)
def test_it_is_healthy(service):
    until(lambda: healthy(service), f"{service} is healthy")


@pytest.mark.parametrize("service", ["secrets", "model"])
def test_what_prepares_has_ended_well(service):
    state = container(service)["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)


@pytest.mark.parametrize("service", SERVICES)
def test_it_is_shut_in(service):
    about = container(service)["HostConfig"]
    assert about["ReadonlyRootfs"]
    assert about["CapDrop"] == ["ALL"] and not about["CapAdd"]
    assert "no-new-privileges:true" in about["SecurityOpt"]
    assert about["Memory"] > 0 and about["PidsLimit"] > 0
    assert about["RestartPolicy"]["Name"] == "unless-stopped"
    assert inside(service, "id", "-u")[1].strip() != "0"
    assert inside(service, "touch", "/etc/new")[0] != 0


def test_a_secret_is_read_by_who_needs_it():
    assert inside("gateway", "test", "-s", "/run/secrets/gateway/store")[0] == 0
    for service, other in [("exporter", "gateway/store"), ("gateway", "grafana/password"), ("grafana", "redis/password")]:
        assert inside(service, "cat", f"/run/secrets/{other}")[0] != 0, service
    _, password = inside("redis", "cat", "/run/secrets/redis/password")
    assert len(password.strip()) == 64
    for service in SERVICES:
        assert password.strip() not in str(container(service)["Config"]), service


def test_redis_answers_gateways_alone():
    reach = "exec 3<>/dev/tcp/redis/6379"
    assert inside("gateway", "bash", "-c", reach)[0] == 0
    assert inside("exporter", "bash", "-c", reach)[0] != 0
    assert "NOAUTH" in inside("redis", "redis-cli", "get", "a")[1]


def test_the_kernels_are_those_of_this_cpu():
    lines = [line for line in compose("logs", "gateway").splitlines() if "can compute on" in line]
    assert lines and all("libggml-cpu-" in line for line in lines), lines
    print(lines[0])
