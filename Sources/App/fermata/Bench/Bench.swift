import Time

extension Verb {
  static let bench = Verb(
    name: "bench", summary: "measure it beside nginx and haproxy", help: BenchOptions.help,
    options: ["--scenario", "--subject", "--seconds", "--streams", "--repeat", "--before", "--quick", "--json"]
  ) { arguments in
    if arguments.first == "flags" { return FlagsBench.run(Array(arguments.dropFirst())) }
    do throws(Arguments.Mistake) {
      let options = try BenchOptions(arguments)
      #if DEBUG
        Terminal.error("fermata bench: this is a debug build; its figures mean nothing")
      #endif
      return Bench(options: options).run() ? ExitStatus.success : ExitStatus.failure
    } catch {
      return misused("bench", error)
    }
  }
}

/// Runs every subject of a scenario once before any of them a second time: what else the machine does then falls on
/// all alike.
private struct Bench {
  let options: BenchOptions

  /// Whether everything went well.
  func run() -> Bool {
    var reports: [BenchReport] = []
    for scenario in options.scenarios {
      let report = measure(scenario)
      if !options.asJSON { Terminal.print(report.text) }
      reports.append(report)
    }
    if options.asJSON { Terminal.print("[\(reports.map(\.json).joined(separator: ","))]") }
    return reports.allSatisfy { report in
      report.rows.allSatisfy { $0.failure == nil && $0.runs.allSatisfy { $0.failures == 0 } }
    }
  }

  private func measure(_ scenario: BenchScenario) -> BenchReport {
    let (streams, seconds) = (options.streams(scenario), options.seconds(scenario))
    let title = scenario.title(streams: streams, seconds: seconds) + ", median of \(options.rounds)"
    var report = BenchReport(
      scenario: scenario, title: title, streams: streams,
      rows: options.subjects.filter(scenario.includes).flatMap(rows))
    for round in 1...options.rounds {
      for index in report.rows.indices where report.rows[index].failure == nil {
        let row = report.rows[index]
        Terminal.error("\(scenario.rawValue) \(round)/\(options.rounds): \(row.title)")
        let run = BenchRun(
          scenario: scenario, subject: row.subject, program: row.before ?? BenchProgram.path, streams: streams,
          seconds: seconds)
        do {
          report.rows[index].runs.append(try run.measure())
        } catch {
          Terminal.error("\(scenario.rawValue) \(round)/\(options.rounds): \(row.title): \(error)")
          report.rows[index].failure = "\(error)"
        }
      }
    }
    return report
  }

  /// Another build, if there is one, comes right before this one.
  private func rows(of subject: BenchSubject) -> [BenchReport.Row] {
    let row = BenchReport.Row(subject: subject)
    guard subject.isFermata, let before = options.before else { return [row] }
    return [BenchReport.Row(subject: subject, before: before), row]
  }
}
