package import JSON
package import Streams

/// All cells of one run of the matrix, and what they were found with.
package struct MatrixReport: Sendable {
  package struct Row: Sendable {
    package let client: MatrixClient
    /// As the client itself says; empty when it was never asked.
    package var version: String

    package init(client: MatrixClient, version: String) { (self.client, self.version) = (client, version) }
  }

  /// Version, commit and libraries of the program.
  package var build: JSONObject
  package var host: String
  /// RFC 3339.
  package var startedAt: String
  package var seconds: Double
  package var rows: [Row]
  package var modes: [Mode]
  package var transports: [MatrixTransport]
  package var behaviours: [Behaviour]
  /// In the order of rows, modes, transports and behaviours.
  package var results: [CellResult]

  package init(
    build: JSONObject, host: String, startedAt: String, seconds: Double, rows: [Row], modes: [Mode],
    transports: [MatrixTransport], behaviours: [Behaviour], results: [CellResult]
  ) {
    (self.build, self.host, self.startedAt, self.seconds) = (build, host, startedAt, seconds)
    (self.rows, self.modes, self.transports, self.behaviours) = (rows, modes, transports, behaviours)
    self.results = results
  }

  package func count(of verdict: Verdict) -> Int { results.count { $0.verdict == verdict } }

  /// What is not as expected, a line each.
  ///
  /// - Parameter isStrict: whether what is not installed counts too.
  package func complaints(isStrict: Bool) -> [String] {
    let missing = isStrict ? results.filter { $0.verdict == .missing } : []
    return results.compactMap(\.complaint) + missing.map { "\($0.cell): missing: \($0.finding.note)" }
  }

  /// `1234 cells: 1000 ok, 200 ok*, …`.
  package var summary: String {
    let counts = Verdict.allCases.compactMap { verdict in
      let count = count(of: verdict)
      return count == 0 ? nil : "\(count) \(verdict.rawValue)"
    }
    return "\(results.count) cells: " + counts.joined(separator: ", ")
  }

  package func result(_ cell: CellID) -> CellResult? { index[cell].map { results[$0] } }

  private var index: [CellID: Int] {
    Dictionary(uniqueKeysWithValues: results.enumerated().map { ($1.cell, $0) })
  }

  /// The cells of one row in one mode, a column each: `nil` where a transport does not carry the behaviour.
  package func lines(mode: Mode) -> [(row: Row, transport: MatrixTransport, cells: [CellResult?])] {
    let index = index
    var lines: [(row: Row, transport: MatrixTransport, cells: [CellResult?])] = []
    for row in rows {
      for transport in transports {
        let cells = behaviours.map { behaviour in
          index[
            CellID(client: row.client.id, mode: mode, transport: transport.id, behaviour: behaviour.id)
          ].map { results[$0] }
        }
        if cells.contains(where: { $0 != nil }) { lines.append((row, transport, cells)) }
      }
    }
    return lines
  }
}
