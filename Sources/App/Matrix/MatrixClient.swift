internal import JSON

/// A row of the matrix: a client, and how it is driven.
package struct MatrixClient: Sendable, Equatable {
  /// What it hands its caller.
  package enum View: String, Sendable {
    /// Events with type and data.
    case events
    /// The texts in them alone, as an SDK of a provider does.
    case texts
  }

  /// How it says that it understands `stream_end`.
  package enum OptIn: String, Sendable {
    /// The request's `Prefer`.
    case header
    /// The query, because it can set no fields.
    case query
    /// By itself.
    case own
    /// Never: it is served as a client of old.
    case never
  }

  package let id: String
  package let name: String
  /// The program and its arguments. `$HERE` is the folder of the clients' file, `$PYTHON` the interpreter that has the
  /// clients' packages, `$FERMATA` this program.
  package let command: [String]
  package let dialect: MatrixDialect
  package let view: View
  package let optIn: OptIn
  package let abilities: Set<Ability>
  /// Whether it hangs up at the completion event.
  package let leavesAtCompletion: Bool
  /// Whether it may leave before the end of the response: at completion, or at the terminal of its dialect.
  package var mayLeaveFirst: Bool { leavesAtCompletion || dialect != .generic }
  /// Whether one process answers any number of jobs, several at a time.
  package let isShared: Bool

  /// A program that the command line names.
  package init(adapter id: String, command: [String]) {
    (self.id, name, self.command) = (id, id, command)
    (dialect, view, optIn, abilities) = (.generic, .events, .header, Set(Ability.allCases))
    (leavesAtCompletion, isShared) = (false, false)
  }

  init(_ row: StrictObject) throws(MatrixFileError) {
    id = try row.text("id")
    name = try row.text("name")
    command = try row.texts("command")
    dialect = try row.choice("dialect") ?? .generic
    view = try row.choice("view") ?? .events
    optIn = try row.choice("optIn") ?? .header
    abilities = Set(try row.choices("abilities") ?? [])
    leavesAtCompletion = try row.flag("leavesAtCompletion") ?? false
    isShared = true
    try row.end()
    guard !command.isEmpty else { throw MatrixFileError("\(row.place).command: is empty") }
    guard !id.isEmpty, id.allSatisfy({ $0.isLetter || $0.isNumber || "-_.".contains($0) }) else {
      throw MatrixFileError("\(row.place).id: \"\(id)\" may hold letters, digits, \"-\", \"_\" and \".\" only")
    }
  }

  /// The rows of a clients' file (JSON5: an array of objects).
  ///
  /// - Throws: what is wrong and where.
  package static func all(parsing text: String) throws(MatrixFileError) -> [MatrixClient] {
    var clients: [MatrixClient] = []
    for row in try StrictObject.rows(of: text) {
      let client = try MatrixClient(row)
      if clients.contains(where: { $0.id == client.id }) {
        throw MatrixFileError("\(row.place).id: \"\(client.id)\" stands there a second time")
      }
      clients.append(client)
    }
    return clients
  }
}
