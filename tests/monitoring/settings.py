"""The checked-in configurations, with addresses and times of a test put in: nothing else differs."""

import yaml

import rules

QUICK = "500ms"


def prometheus(name, folder, exporter=None, alertmanager=None):
    """`prometheus/NAME` that scrapes and evaluates twice a second and asks for no alert to last."""
    settings = rules.load(name)
    settings["global"].update(scrape_interval=QUICK, scrape_timeout=QUICK, evaluation_interval=QUICK)
    if "rule_files" in settings:
        settings["rule_files"] = [str(quick_rules(folder) / "*.yml")]
    if alertmanager:
        settings["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    else:
        settings.pop("alerting", None)
    jobs = [job for job in settings["scrape_configs"] if job["job_name"] not in ("prometheus", "alertmanager")]
    for job in jobs:
        job.pop("scrape_interval", None)
        job.pop("scrape_timeout", None)
        for discovery in job.get("http_sd_configs", []):
            discovery.update(url=f"{exporter}/sd", refresh_interval="1s")
    settings["scrape_configs"] = jobs
    return settings


def quick_rules(folder):
    """Copies of the rules, evaluated as often as all else, without `for`."""
    copies = folder / "rules"
    copies.mkdir(parents=True, exist_ok=True)
    for file in rules.FILES:
        content = yaml.safe_load(file.read_text())
        for group in content["groups"]:
            group.pop("interval", None)
            for rule in group["rules"]:
                rule.pop("for", None)
        (copies / file.name).write_text(yaml.safe_dump(content))
    return copies


def alertmanager(receiver):
    """`alertmanager.yml` with hooks at the receiver and no time to wait."""
    settings = rules.load("alertmanager.yml")
    for route in [settings["route"], *settings["route"]["routes"]]:
        route["group_wait"] = "200ms"
        route["group_interval"] = "1s"
    for hook in settings["receivers"]:
        for webhook in hook["webhook_configs"]:
            webhook["url"] = f"{receiver}/{hook['name']}"
    return settings
