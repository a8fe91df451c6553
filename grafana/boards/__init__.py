"""The boards as data; `grafana/generate.py` writes them as Grafana's JSON."""
