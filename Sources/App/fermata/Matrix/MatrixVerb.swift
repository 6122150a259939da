import Harness
import JSON
import Loop
import Matrix
import Processes
import Streams

extension Verb {
  static let matrix = Verb(
    name: "matrix", summary: "does each client see the truth, in each mode, when the backend misbehaves?",
    help: MatrixOptions.help, options: MatrixOptions.names
  ) { arguments in
    do throws(Arguments.Mistake) {
      let options = try MatrixOptions(arguments)
      let status = Rendezvous<Int32>()
      Task { status.put(await MatrixCommand(options: options).run()) }
      return status.take()
    } catch {
      return misused("matrix", error)
    }
  }
}

/// The command line of `fermata matrix`.
struct MatrixOptions {
  var clients: Set<String> = []
  var modes: Set<String> = []
  var transports: Set<String> = []
  var behaviours: Set<String> = []
  var repeated: CellID?
  var adapters: [MatrixClient] = []
  var folder: String?
  var expectations: String?
  var jsonFile: String?
  var markdownFile: String?
  var htmlFile: String?
  /// Streams of the race that is run instead of the cells.
  var race: Int?
  /// Streams that are open at the same time, instead of the cells.
  var load: Int?
  var seed: UInt64 = 1
  var isStrict = false
  var onlyLists = false

  static let names: Set = [
    "--client", "--mode", "--transport", "--behaviour", "--repeat", "--adapter", "--clients", "--expectations",
    "--json", "--markdown", "--html", "--race", "--load", "--seed", "--strict", "--list",
  ]

  static let help = """
    usage: fermata matrix [OPTION …]

      --list               the cells that would be played, and what is expected of them
      --client NAME,…      these clients only; so --mode, --transport and --behaviour
      --repeat CELL        one cell, such as curl/legacy/h1/B01, with all that its witnesses said
      --adapter NAME=CMD   a client of your own: a program that reads one job (JSON, one line) and writes what it saw
      --clients DIR        where the clients' programs are; default: Tests/Matrix here or in a folder above
      --expectations FILE  what is known of cells that are not ok; default: expectations.json5 in that folder
      --json FILE          the whole report, for programs
      --markdown FILE      the report as Markdown, as docs/compatibility.md has it
      --html FILE          the report as a page for a browser, in one file
      --strict             a client that is not installed is a failure
      --race N             no cells: N streams whose clients leave at random moments, with and without the gateway, and
                           how many messages behind a completion event were lost (--seed N: the moments, 1)
      --load N             no cells: N streams open at the same time, of clients of each kind in each mode, over all
                           transports

    Plays each behaviour of a backend to each client, in each mode, and compares what the client reported with what the
    backend sent and with what the gateway logged. Backend and gateway are started on free ports of loopback; their time
    limits are scaled to 300 ms.

    An adapter reads {url, method, headers, body, capability, deadlineMs, stopAfter, http, roots} and writes {name,
    version, events: [[type, id, data], …], end: "closed|error|timeout", error, status, reconnects, sawOutcome}; exit
    status 127 says that it has no such ability. For https, roots is a PEM file with the authority to trust; SSL_CERT_FILE
    and NODE_EXTRA_CA_CERTS name it too. http is "1.1" or "2": a client that speaks another version fails.

    \(ExitStatus.help(of: "matrix"))
    """

  init(_ arguments: [String]) throws(Arguments.Mistake) {
    let parsed = try Arguments(
      arguments, options: Self.names.subtracting(["--strict", "--list"]), switches: ["--strict", "--list"])
    clients = Self.words(parsed.values["--client"])
    modes = Self.words(parsed.values["--mode"])
    transports = Self.words(parsed.values["--transport"])
    behaviours = Self.words(parsed.values["--behaviour"])
    try Self.check(modes, among: Mode.allCases.map(\.rawValue), "--mode")
    try Self.check(transports, among: MatrixTransport.all.map(\.id), "--transport")
    try Self.check(behaviours, among: Behaviour.all.map(\.id), "--behaviour")
    if let text = parsed["--repeat"] {
      guard let cell = CellID(text), Behaviour.named(cell.behaviour) != nil else {
        throw Arguments.Mistake(message: "--repeat wants CLIENT/MODE/TRANSPORT/BEHAVIOUR, found \"\(text)\"")
      }
      repeated = cell
    }
    for text in parsed.values["--adapter"] ?? [] { adapters.append(try Self.adapter(text)) }
    (folder, expectations) = (parsed["--clients"], parsed["--expectations"])
    (jsonFile, markdownFile, htmlFile) = (parsed["--json"], parsed["--markdown"], parsed["--html"])
    race = try Self.number(parsed["--race"], "--race", 1...1_000_000)
    load = try Self.number(parsed["--load"], "--load", 1...5000)
    seed = UInt64(try Self.number(parsed["--seed"], "--seed", 0...Int.max) ?? 1)
    (isStrict, onlyLists) = (parsed.has("--strict"), parsed.has("--list"))
  }

  private static func number(
    _ text: String?, _ option: String, _ range: ClosedRange<Int>
  ) throws(Arguments.Mistake) -> Int? {
    guard let text else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw Arguments.Mistake(
        message: "\(option) wants a number from \(range.lowerBound) to \(range.upperBound), found \"\(text)\"")
    }
    return number
  }

  private static func words(_ values: [String]?) -> Set<String> {
    Set((values ?? []).flatMap { $0.split(separator: ",").map(String.init) })
  }

  private static func check(
    _ words: Set<String>, among known: [String], _ option: String
  ) throws(Arguments.Mistake) {
    for word in words.sorted() where !known.contains(word) {
      throw Arguments.Mistake(message: "\(option): \(word) is none of \(known.joined(separator: ", "))")
    }
  }

  private static func adapter(_ text: String) throws(Arguments.Mistake) -> MatrixClient {
    let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
    let words = parts.count == 2 ? parts[1].split(separator: " ").map(String.init) : []
    guard !words.isEmpty, parts[0].allSatisfy({ $0.isLetter || $0.isNumber || "-_.".contains($0) }) else {
      throw Arguments.Mistake(message: "--adapter wants NAME=COMMAND, found \"\(text)\"")
    }
    return MatrixClient(adapter: parts[0], command: words)
  }

  /// Whether the cell was asked for.
  func wants(_ cell: CellID) -> Bool {
    if let repeated { return cell == repeated }
    func has(_ chosen: Set<String>, _ word: String) -> Bool { chosen.isEmpty || chosen.contains(word) }
    return has(clients, cell.client) && has(modes, cell.mode.rawValue) && has(transports, cell.transport)
      && has(behaviours, cell.behaviour)
  }
}
