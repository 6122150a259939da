import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What stands in Sources/Packaging fits the program.
  @Suite struct Packaging {
    static let folder = "Sources/Packaging"

    /// What a command prints, and whether it ended with 0.
    static func output(_ words: [String]) throws -> (lines: [String], isGood: Bool) {
      let child = try ChildProcess(words)
      child.closeInput()
      var lines: [String] = []
      while let line = child.readLine(timeout: .seconds(300)) { lines.append(line) }
      return (lines, child.wait(timeout: .seconds(60)) == .code(0))
    }

    /// Every option that a text of help names.
    static func options(in help: String) -> Set<String> {
      Set(
        help.split { !$0.isLetter && !$0.isNumber && $0 != "-" }.filter { word in
          word.hasPrefix("--") && word.count > 2 && word.dropFirst(2).first != "-"
        }.map(String.init))
    }

    /// The help of every verb, and of every verb of `fermata flags`, by their words.
    static func helps() throws -> [(words: [String], text: String)] {
      func verbs(_ words: [String]) throws -> [[String]] {
        let lines = try Program.run(words + ["--help"]).output.split(separator: "\n")
        return lines.filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") }.map { line in
          line.dropFirst(2).split(separator: "  ", maxSplits: 1)[0].split(separator: " ").map(String.init)
        }
      }
      var result = try verbs([]).filter { $0 != ["flags"] }
      result += try verbs(["flags"]).map { ["flags"] + $0 }
      return try result.map { ($0, try Program.run($0 + ["--help"]).output) }
    }

    @Test func `the unit is accepted, and is hardened`() throws {
      let directory = try ScratchDirectory()
      let (unit, _) = try Self.output(["cat", "\(Self.folder)/systemd/fermata.service"])
      // Neither the program nor its pages are installed here.
      let here = unit.filter { !$0.hasPrefix("Documentation=") }.map {
        $0.replacing("/usr/bin/fermata", with: "/bin/true")
      }
      for dropIn in [false, true] {
        directory.write("fermata.service", here.joined(separator: "\n") + "\n")
        if dropIn {
          _ = try Self.output(["mkdir", "-p", directory["fermata.service.d"]])
          _ = try Self.output([
            "cp", "\(Self.folder)/systemd/fermata.service.d/low-ports.conf.example",
            directory["fermata.service.d/low-ports.conf"],
          ])
        }
        let verdict = try Self.output(["sh", "-c", "systemd-analyze verify \"$0\" 2>&1", directory["fermata.service"]])
        #expect(verdict.isGood && verdict.lines == [], "\(verdict.lines)")
      }
      let security = try Self.output([
        "systemd-analyze", "security", "--offline=true", "--threshold=15", "\(Self.folder)/systemd/fermata.service",
      ])
      #expect(security.isGood, "\(security.lines.suffix(2))")
    }

    /// The longest that a drain may take, after the summary that `fermata check` prints.
    static func drainSeconds(_ summary: JSONValue) throws -> Double {
      func seconds(_ name: String) throws -> Double {
        try #require(summary[name]?.string.flatMap { Nanoseconds(parsing: $0) }).seconds
      }
      // A quarter of the drain but 2 s at most for the last ends, 5 s of linger, 1 s more; then the process stops.
      let runs = summary["runs"]?["drain"]?.string.flatMap { Nanoseconds(parsing: $0) }?.seconds ?? 0
      return try seconds("drainDelay") + max(seconds("drain"), runs) + 2 + 5 + 1
    }

    @Test func `the service manager waits for longer than a drain`() throws {
      let run = try Program.run(["check", "--config", "\(Self.folder)/debian/fermata.json5"])
      #expect(run.exit == .code(0) && run.errors.isEmpty, "\(run)")
      let unit = try Self.output(["grep", "^TimeoutStopSec=", "\(Self.folder)/systemd/fermata.service"]).lines
      let timeout = try #require(unit.first.flatMap { Double($0.dropFirst("TimeoutStopSec=".count)) })
      #expect(timeout > (try Self.drainSeconds(try JSONValue(parsing: run.output))))
    }

    @Test func `Kubernetes waits for longer than a drain, and its configuration is good`() throws {
      let script = """
        import json, sys, yaml
        documents = {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(open(sys.argv[1]))}
        pod = documents["Deployment", "fermata"]["spec"]["template"]["spec"]
        maps = {name: d["data"] for (kind, name), d in documents.items() if kind == "ConfigMap"}
        container = pod["containers"][0]
        print(json.dumps({"grace": pod["terminationGracePeriodSeconds"], "maps": maps, "args": container["args"],
            "probes": [container[p]["exec"]["command"] for p in ("livenessProbe", "readinessProbe")],
            "secrets": {e["name"]: e["valueFrom"]["secretKeyRef"] for e in container["env"]},
            "scraper": documents["PodMonitor", "fermata"]["spec"]["podMetricsEndpoints"][0]["authorization"]["credentials"],
            "links": pod["enableServiceLinks"], "root": container["securityContext"]["readOnlyRootFilesystem"],
            "subPath": any("subPath" in m for m in container["volumeMounts"])}))
        """
      let (lines, isGood) = try Self.output(
        ["/usr/bin/python3", "-c", script, "\(Self.folder)/kubernetes/fermata.yaml"])
      #expect(isGood)
      let told = try JSONValue(parsing: lines.joined())
      #expect(told["links"] == false && told["root"] == true && told["subPath"] == false)
      // Who only measures does not get the token that may kill.
      let secrets = told["secrets"]
      #expect(secrets?["FERMATA_ADMIN_TOKEN"] != nil && told["scraper"] != secrets?["FERMATA_ADMIN_TOKEN"])
      #expect(told["scraper"] != nil && told["scraper"] == secrets?["FERMATA_ADMIN_SCRAPE_TOKEN"])
      let directory = try ScratchDirectory()
      directory.write("flags.json", told["maps"]?["fermata-flags"]?["stream-closing.flagd.json"]?.string ?? "")
      directory.write("fermata.json5", told["maps"]?["fermata"]?["fermata.json5"]?.string ?? "")
      let run = try Program.run(
        ["check", "--config", directory["fermata.json5"], "--flags", directory["flags.json"]],
        environment: ["FERMATA_ADMIN_TOKEN": "0123456789abcdef", "FERMATA_ADMIN_SCRAPE_TOKEN": "fedcba9876543210"])
      #expect(run.exit == .code(0), "\(run)")
      let grace = try #require(told["grace"]?.number)
      #expect(grace > (try Self.drainSeconds(try JSONValue(parsing: run.output))))
      for probe in told["probes"]?.array ?? [] {
        let words = probe.array?.compactMap(\.string) ?? []
        let answer = try Program.run(Array(words.dropFirst()).dropLast() + ["127.0.0.1:9"])
        #expect(words.first == "/usr/bin/fermata" && answer.exit == .code(1), "\(words): \(answer)")
      }
    }

    @Test func `the image is made of what is there, and does not run as root`() throws {
      let (lines, _) = try Self.output(["cat", "\(Self.folder)/container/Containerfile"])
      #expect(!lines.contains { $0.contains(":latest") })
      // Each stage begins with an image that has a version here, and can be given by digest from outside.
      let images = lines.filter { $0.hasPrefix("FROM ") }
      #expect(images == ["FROM ${SWIFT} AS build", "FROM ${DEBIAN}"])
      for name in ["SWIFT", "DEBIAN"] {
        let given = try #require(lines.first { $0.hasPrefix("ARG \(name)=") })
        #expect(given.contains(/:[0-9][0-9A-Za-z.-]*$|@sha256:[0-9a-f]{64}$/), "\(given)")
      }
      let sources = lines.filter { $0.hasPrefix("COPY ") && !$0.contains("--from=") }.flatMap {
        $0.split(separator: " ").dropFirst().dropLast()
      }
      #expect(sources.count >= 4)
      for source in sources { #expect(try Self.output(["test", "-e", String(source)]).isGood, "\(source)") }
      for line in ["USER 65532:65532", "STOPSIGNAL SIGTERM", "ENTRYPOINT [\"/usr/bin/fermata\"]"] {
        #expect(lines.contains(line), "\(line)")
      }
      let command = try #require(lines.first { $0.hasPrefix("HEALTHCHECK ") })
      #expect(command.hasSuffix("CMD [\"/usr/bin/fermata\", \"health\"]"))
      let run = try Program.run(["check", "--config", "\(Self.folder)/container/fermata.json5"])
      #expect(run.exit == .code(0), "\(run)")
    }

    @Test func `both packages bring every library that the program needs`() throws {
      let deb = try Self.output(["cat", ".ci/deb"]).lines.first { $0.hasPrefix("Depends: ") } ?? ""
      let image = try Self.output(["cat", "\(Self.folder)/container/Containerfile"]).lines.joined(separator: " ")
      let linked = try Self.output(["objdump", "-p", Program.path]).lines.compactMap { line in
        line.contains("NEEDED") ? line.split(separator: " ").last.map(String.init) : nil
      }
      // Swift's own are linked in statically there; the C library is in every image.
      let others = linked.filter { name in
        !["libswift", "lib_", "libFoundation", "libc.", "libm.", "libgcc", "libstdc", "ld-"].contains {
          name.hasPrefix($0)
        }
      }
      #expect(others.count >= 6)
      for library in others {
        let owner = try Self.output(["dpkg-query", "-S", library]).lines.first?.split(separator: ":").first ?? ""
        #expect(!owner.isEmpty, "no package has \(library)")
        #expect(deb.contains(" \(owner) "), "\(library) is of \(owner)")
        #expect(image.contains(" \(owner) "), "\(library) is of \(owner)")
      }
      let install = try Self.output(["grep", "-m1", "apt-get install", "README.md"]).lines.first ?? ""
      let builds = install.split(separator: " ").filter { $0.hasSuffix("-dev") }
      #expect(builds.count >= 4)
      for package in builds { #expect(image.contains(" \(package) "), "\(package)") }
    }

    @Test func `the man pages are well formed and have every verb and every option`() throws {
      let directory = try ScratchDirectory()
      let made = try Self.output(["\(Self.folder)/man/make", Program.path, directory["man"]])
      #expect(made.isGood, "\(made.lines)")
      var texts: [String: String] = [:]
      for page in ["fermata.1", "fermata-flags.1", "fermata-matrix.1", "fermata.json5.5"] {
        let path = directory["man/\(page)"]
        let warnings = try Self.output(["sh", "-c", "man -l --warnings -E UTF-8 \"$0\" 2>&1 > /dev/null", path])
        #expect(warnings.lines == [] && warnings.isGood, "\(page): \(warnings.lines.prefix(5))")
        let text = try Self.output(["sh", "-c", "MANWIDTH=200 man -l -E ascii \"$0\" 2>/dev/null | col -b", path])
        texts[page] = text.lines.joined(separator: "\n")
      }
      for help in try Self.helps() {
        let own = ["flags", "matrix"].contains(help.words[0]) ? "fermata-\(help.words[0]).1" : "fermata.1"
        let text = texts[own] ?? ""
        #expect(text.contains("fermata \(help.words.joined(separator: " "))"), "\(help.words)")
        #expect(Self.options(in: help.text).subtracting(Self.options(in: text)) == [], "\(help.words)")
      }
      for path in ["drainDelay", "admin.readyWhen", "runs.redis.url", "routes[].name"] {
        #expect(texts["fermata.json5.5"]?.contains(path) == true, "\(path)")
      }
    }

    @Test func `the completions of bash have every verb and every option of its help`() throws {
      let directory = try ScratchDirectory()
      let script = try Program.run(["completions", "bash"])
      #expect(script.exit == .code(0))
      directory.write("fermata", script.output + "\n")
      #expect(try Self.output(["bash", "-n", directory["fermata"]]).isGood)
      /// What is offered after `words`.
      func offers(_ words: [String]) throws -> Set<String> {
        let list = (["fermata"] + words + [""]).map { "'\($0)'" }.joined(separator: " ")
        let program =
          ". \"$0\"; COMP_WORDS=(\(list)); COMP_CWORD=\(words.count + 1); _fermata; printf '%s\\n' \"${COMPREPLY[@]}\""
        return Set(try Self.output(["bash", "-c", program, directory["fermata"]]).lines)
      }
      let helps = try Self.helps()
      #expect(helps.count > 25)
      let verbs = Set(helps.map { $0.words[0] })
      #expect(try offers([]) == verbs)
      // Verbs of three words are completed as far as their second.
      for help in helps where help.words.count < 4 {
        let offered = try offers(help.words)
        #expect(offered.contains("--help"), "\(help.words)")
        for line in help.text.split(separator: "\n") where line.hasPrefix("  --") || line.hasPrefix("  -H") {
          let option = String(line.dropFirst(2).prefix { $0 != " " })
          #expect(offered.contains(option), "\(help.words): \(option)")
        }
      }
      for shell in ["zsh", "fish"] {
        let run = try Program.run(["completions", shell])
        #expect(run.exit == .code(0) && run.output.contains("no-resume"), "\(shell)")
      }
      #expect(try Program.run(["completions", "tcsh"]).exit == .code(2))
    }

    @Test func `the alerts pass their tests, and each is in the operators' page`() throws {
      let rules = "\(Self.folder)/prometheus/fermata.rules.yml"
      #expect(try Self.output(["promtool", "check", "rules", rules]).isGood)
      let tests = try Self.output(["promtool", "test", "rules", "\(Self.folder)/prometheus/fermata_test.yml"])
      #expect(tests.isGood, "\(tests.lines)")
      let alerts = try Self.output(["sed", "-n", "s/^ *- alert: //p", rules]).lines
      let page = try Self.output(["cat", "docs/operations.md"]).lines
      #expect(alerts.count > 15)
      for alert in alerts { #expect(page.contains { $0.hasPrefix("| \(alert) |") }, "\(alert)") }
    }

    @Test func `for each alert a case fires, and one is quiet though all that it selects has samples`() throws {
      let verdict = try Self.output(["Tests/Packaging/alerts", "\(Self.folder)/prometheus"])
      #expect(verdict.isGood && verdict.lines.count == 1, "\(verdict.lines)")
    }

    /// An alert with its cases, and what is wrong with them.
    @Test(arguments: [
      ("alertname", "alertname", []),
      ("exp_alerts: [{ exp_labels: { job: a } }]", "exp_alerts: []", ["no case in which it fires"]),
      ("exp_alerts: []", "exp_alerts: [{ exp_labels: { job: a } }]", ["no case in which it is quiet"]),
      ("fermata_up{job=\"a\"}', values: '1x9", "fermata_up{job=\"a\"}', values: '_x9", ["fermata_up"]),
      ("fermata_up{job=\"a\"}', values: '1x9", "fermata_up{job=\"b\"}', values: '1x9", ["fermata_up{job=\"a\"}"]),
      ("fermata_low{", "fermata_lower{", ["last_over_time(fermata_low[5m])"]),
      ("alertname: One", "alertname: Two", ["Two: no such", "Two: no such", "One: no case", "One: no case"]),
    ])
    func `a case that proves nothing about an alert is found`(old: String, new: String, faults: [String]) throws {
      let directory = try ScratchDirectory()
      directory.write(
        "a.rules.yml",
        """
        groups: [{ name: all, rules: [
          { alert: One, expr: 'fermata_up{job="a"} == 0 and on (job) max by (job) (rate(fermata_low[5m])) >= 0' } ] }]
        """)
      func series(_ up: Int) -> String {
        """
        input_series: [{ series: 'fermata_up{job="a"}', values: '\(up)x9' }, { series: 'fermata_low{job="a"}', values: '0x9' }]
        """
      }
      let cases = """
        tests:
        - { interval: 1m, \(series(0)),
            alert_rule_test: [{ eval_time: 8m, alertname: One, exp_alerts: [{ exp_labels: { job: a } }] }] }
        - { interval: 1m, \(series(1)), alert_rule_test: [{ eval_time: 8m, alertname: One, exp_alerts: [] }] }
        """
      directory.write("a_test.yml", cases.replacing(old, with: new))
      let verdict = try Self.output(["Tests/Packaging/alerts", directory.path])
      #expect(verdict.isGood == faults.isEmpty, "\(verdict.lines)")
      #expect(faults.isEmpty || verdict.lines.count == faults.count, "\(verdict.lines)")
      for (line, fault) in zip(verdict.lines, faults) { #expect(line.contains(fault), "\(line)") }
    }

    @Test func `the page on running it can be followed`() throws {
      let run = try Self.output(["Tests/RealClients/running.sh", Program.path])
      #expect(run.isGood && run.lines.last == "all as docs/running.md says", "\(run.lines)")
    }

    @Test func `the alerts use metrics and labels that a scrape has`() async throws {
      let rules = try Self.output(["grep", "-v", "^ *#", "\(Self.folder)/prometheus/fermata.rules.yml"]).lines
      let text = rules.joined(separator: "\n")
      try await World.with { world in
        _ = await world.fetch("/?events=3&complete=done")
        _ = await world.outcomes()
        let metrics = try await world.gateway.metrics()
        let known = Dictionary(grouping: metrics.samples, by: \.name).mapValues { samples in
          samples.reduce(into: Set<String>()) { $0.formUnion($1.labels.keys) }
        }
        var seen: Set<String> = []
        for match in text.matches(of: /\b((?:ai_stream|fermata|process)_[a-z_]+)(?:\{([^}]*)\})?/) {
          let name = String(match.1)
          seen.insert(name)
          if Self.conditional.contains(name) { continue }
          guard let labels = known[name] else {
            Issue.record("no scrape has \(name)")
            continue
          }
          for label in (match.2.map(String.init) ?? "").matches(of: /([a-z_]+)(?:=|!=|=~|!~)"/) {
            #expect(labels.contains(String(label.1)), "\(name) has no label \(label.1)")
          }
        }
        #expect(seen.count > 20)
      }
    }

    /// Metrics that are there when the flag file has a rollout, with TLS, and with runs in Redis.
    static let conditional: Set<String> = [
      "fermata_redis_command_seconds_bucket", "fermata_redis_connection_events_total", "fermata_redis_connections",
      "fermata_redis_server_errors_total", "fermata_rollout_attention", "fermata_rollout_phase",
      "fermata_tls_certificate_expiry_seconds",
    ]

    /// The metrics that a query names, each with the labels that it asks for.
    static func uses(in text: String) -> [(name: String, labels: [String])] {
      text.matches(of: /\b((?:ai_stream|fermata|process)_[a-z_]+)(?:\{([^}]*)\})?/).map { match in
        let labels = (match.2.map(String.init) ?? "").matches(of: /([a-z_]+)(?:=|!=|=~|!~)"/)
        return (String(match.1), labels.map { String($0.1) })
      }
    }

    /// Metrics for a search by hand, which no panel shows and no alert watches. A new one is shown, or stands here.
    static let unwatched: Set<String> = [
      "ai_stream_clients_gauge", "ai_stream_duration_milliseconds", "ai_stream_ttfb_milliseconds",
      "fermata_client_streams_total", "fermata_connections_total", "fermata_flag_evaluations_without_key_total",
      "fermata_flag_load_failures", "fermata_flag_load_failures_total", "fermata_guard_checks_total",
      "fermata_guard_state_writable", "fermata_guard_trips_total", "fermata_http2_connections_total",
      "fermata_http2_faults_total", "fermata_identity_streams_total", "fermata_keepalives_total",
      "fermata_proxy_headers_total", "fermata_redis_commands_total", "fermata_redis_errors_total",
      "fermata_run_log_bytes", "fermata_shadow_left_early_total", "fermata_shadow_streams_total",
      "fermata_shadow_tails_total", "fermata_shadow_trailing_streams_total", "fermata_spans_total",
      "fermata_start_time_seconds", "fermata_tls_handshakes_total", "fermata_tunnels", "fermata_tunnels_total",
      "fermata_unkept_streams_total", "fermata_unterminated_final_event_total",
      "fermata_upstream_retries_total",
    ]

    @Test func `each metric is shown or watched, or known to be for a search alone`() async throws {
      let text = try ["prometheus/fermata.rules.yml", "grafana/fermata.json"].map { file in
        try Self.output(["cat", "\(Self.folder)/\(file)"]).lines.joined(separator: "\n")
      }.joined()
      try await World.with { world in
        _ = await world.fetch("/?events=3&complete=done")
        _ = await world.outcomes()
        let families = Set(try await world.gateway.metrics().types.keys)
        let used = Set(
          Self.uses(in: text).map { use in
            families.contains(use.name) ? use.name : use.name.replacing(/_(?:bucket|sum|count)$/, with: "")
          })
        #expect(families.subtracting(used) == Self.unwatched)
      }
    }

    @Test func `each panel of the board asks for what a scrape has, in a query that Prometheus takes`() async throws {
      let text = try Self.output(["cat", "\(Self.folder)/grafana/fermata.json"]).lines.joined(separator: "\n")
      let board = try JSONValue(parsing: text)
      let panels = (board["panels"]?.array ?? []).filter { $0["type"]?.string != "row" }
      #expect(panels.count >= 40)
      let titles = panels.compactMap { $0["title"]?.string }
      var queries: [String] = []
      for panel in panels {
        let title = panel["title"]?.string ?? ""
        #expect(panel["fieldConfig"]?["defaults"]?["unit"]?.string?.isEmpty == false, "\(title)")
        let targets = panel["targets"]?.array ?? []
        #expect(!targets.isEmpty, "\(title)")
        let next = panel["description"]?.string?.firstMatch(of: /^[A-Z].+[.] Look next at "(.+)"[.]$/)?.1
        #expect(titles.contains { next == $0[...] } && next != title[...], "\(title) says where to look next")
        for target in targets {
          #expect(target["datasource"]?["uid"] == "$datasource", "\(title)")
          #expect(target["legendFormat"]?.string?.isEmpty == false, "\(title)")
          queries.append(target["expr"]?.string ?? "")
        }
      }
      // Grafana fills in its variables; so do we.
      let rules = queries.enumerated().map { place, query in
        let timed = query.replacing("$__rate_interval", with: "5m")
        let filled = timed.replacing(/\$(job|instance|route|upstream)/, with: ".*")
        return "  - { record: 'panel:\(place)', expr: '\(filled)' }\n"
      }
      let directory = try ScratchDirectory()
      directory.write("board.yml", "groups:\n- name: board\n  rules:\n" + rules.joined())
      let check = try Self.output(["sh", "-c", "promtool check rules \"$0\" 2>&1", directory["board.yml"]])
      #expect(check.isGood, "\(check.lines)")
      try await World.with { world in
        _ = await world.fetch("/?events=3&complete=done")
        _ = await world.outcomes()
        let known = Dictionary(grouping: try await world.gateway.metrics().samples, by: \.name).mapValues { samples in
          samples.reduce(into: Set<String>()) { $0.formUnion($1.labels.keys) }
        }
        for query in queries {
          for use in Self.uses(in: query) where !Self.conditional.contains(use.name) {
            guard let labels = known[use.name] else {
              Issue.record("no scrape has \(use.name)")
              continue
            }
            // Prometheus adds these two.
            #expect(Set(use.labels).subtracting(labels).subtracting(["job", "instance"]) == [], "\(use.name)")
          }
        }
      }
    }
  }
}
