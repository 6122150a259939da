import Files
import Flags
import JSON
import Streams
import Time

/// `eval`: what the flag answers to one client, or to many.
extension FlagsVerb {
  static let eval = FlagsVerb(
    name: "eval", summary: "what a flag answers, and why", usage: "[KEY] [-c NAME=VALUE …] [OPTION …]",
    details: """
        --key ID           the targeting key
        -c NAME=VALUE      a variable of the context; NAME:=JSON for anything but a string; dots reach inside objects
        -H "NAME: VALUE"   a header of a recorded request; User-Agent, X-Client-Version and Prefer mean what they mean
                           to the gateway
        --contexts FILE|-  one JSON object a line, each a context; answers one JSON object a line
        --explain          the way through the rule, with hash and bucket, and what the variant means for such a client:
                           say its capability with -H "Prefer: stream-end" or -c capability=stream_end
        --test             exit 10 unless the value is true
        --is VARIANT       exit 10 unless it is this variant

      """ + FlagsSurroundings.help,
    options: FlagsSurroundings.options.union(["--key", "-c", "-H", "--contexts", "--is"]),
    switches: ["--explain", "--test"]
  ) { invocation throws(FlagsFailure) in
    let loaded = try invocation.load()
    let key = try invocation.key(in: loaded)
    if let source = invocation.arguments["--contexts"] {
      return try FlagsContexts.evaluateAll(key, loaded.set, source)
    }
    let context = try FlagsContexts.context(from: invocation.arguments)
    let resolution = loaded.set.evaluate(key, context)
    var data = FlagsContexts.json(resolution)
    data[path: ["key"]] = .string(key)
    let steps =
      invocation.arguments.has("--explain")
      ? loaded.set[key].map { Explanation($0, context, loaded.set.generation).steps } ?? [] : []
    if invocation.arguments.has("--explain") {
      data[path: ["steps"]] = .array(
        steps.map { ["pointer": .string($0.pointer.description), "text": .string($0.text)] })
    }
    var text = FlagsContexts.text(resolution, steps)
    if invocation.arguments.has("--explain"), key == FlagKey.streamClosing.description {
      let closing = FlagsContexts.closing(resolution, context)
      data[path: ["closing"]] = .string(closing)
      text += "\n  \(closing)"
    }
    return FlagsOutput(
      kind: "Evaluation", data: data, text: text,
      warnings: try FlagsSurroundings.warnings(invocation, loaded.set),
      exit: FlagsContexts.isAsWanted(resolution, invocation.arguments) ? .success : .testFalse)
  }
}

/// Contexts from the command line, from files, and what is answered to them.
enum FlagsContexts {
  static func json(_ resolution: Resolution) -> JSONValue {
    [
      "variant": resolution.variant.map(JSONValue.string) ?? .null, "value": resolution.value ?? .null,
      "reason": .string(resolution.reason.rawValue),
      "errorCode": resolution.errorCode.map { .string($0.rawValue) } ?? .null,
    ]
  }

  static func text(_ resolution: Resolution, _ steps: [Explanation.Step]) -> String {
    var text = "\(resolution.variant ?? "the caller's own default")  \(resolution.reason.rawValue)"
    if let code = resolution.errorCode { text += " \(code.rawValue)" }
    return text + steps.map { "\n  \($0.pointer): \($0.text)" }.joined()
  }

  /// How the gateway serves such a client, for people: the variant alone does not say it.
  static func closing(_ resolution: Resolution, _ context: EvaluationContext) -> String {
    guard let mode = resolution.variant.flatMap(Mode.init(rawValue:)) else {
      return "its streams are legacy: the flag gives it nothing"
    }
    let capability = context.attributes["capability"]?.string
    let served = Mode.decide(understandsStreamEnd: capability == "stream_end", variant: mode)
    let text = "its streams are \(served.rawValue)"
    guard mode != .legacy else { return text }
    return switch capability {
    case "stream_end"?: text + ": it understands stream_end"
    case .some: text + ": it does not understand stream_end"
    case nil:
      text
        + " unless it understands stream_end, which was not said: -H \"Prefer: stream-end\" or -c capability=stream_end"
    }
  }

  static func isAsWanted(_ resolution: Resolution, _ arguments: Arguments) -> Bool {
    if arguments.has("--test"), resolution.value != true { return false }
    guard let variant = arguments["--is"] else { return true }
    return resolution.variant == variant
  }

  static func context(from arguments: Arguments) throws(FlagsFailure) -> EvaluationContext {
    var attributes = JSONValue.object(JSONObject())
    for header in arguments.values["-H"] ?? [] { try add(header: header, to: &attributes) }
    for pair in arguments.values["-c"] ?? [] {
      guard let equals = pair.firstIndex(of: "="), equals > pair.startIndex else {
        throw .usage("-c takes NAME=VALUE, not \"\(pair)\"")
      }
      let text = String(pair[pair.index(after: equals)...])
      var name = pair[..<equals]
      var value = JSONValue.string(text)
      if name.last == ":" {
        name.removeLast()
        guard let parsed = try? JSONValue(parsing: text) else { throw .usage("\"\(text)\" is no JSON") }
        value = parsed
      } else if name == "internal" {
        value = .bool(text == "true" || text == "1")
      }
      attributes[path: name.split(separator: ".").map(String.init)] = value
    }
    if let key = arguments["--key"] { attributes[path: ["targetingKey"]] = .string(key) }
    return EvaluationContext(attributes: attributes.object ?? JSONObject(), timestamp: now)
  }

  /// What the gateway takes from a request's header.
  private static func add(header: String, to attributes: inout JSONValue) throws(FlagsFailure) {
    guard let colon = header.firstIndex(of: ":") else { throw .usage("-H takes \"Name: value\", not \"\(header)\"") }
    let name = header[..<colon].lowercased()
    let value = String(header[header.index(after: colon)...].drop { $0 == " " })
    attributes[path: ["headers", name]] = .string(value)
    switch name {
    case "user-agent":
      let product = (value.split(separator: " ").first ?? "").split(separator: "/", maxSplits: 1)
      if let client = product.first { attributes[path: ["client"]] = .string(String(client)) }
      if product.count == 2 { attributes[path: ["version"]] = .string(String(product[1])) }
    case "x-client-version": attributes[path: ["version"]] = .string(value)
    case "prefer":
      let tokens = value.split(separator: ",").map { $0.drop { $0 == " " }.lowercased() }
      if tokens.contains("stream-end") { attributes[path: ["capability"]] = "stream_end" }
    default: break
    }
  }

  private static var now: Int { Int(Caller.now.milliseconds / 1000) }

  /// One line of JSON for each line of contexts, written as it goes.
  static func evaluateAll(_ key: String, _ set: FlagSet, _ source: String) throws(FlagsFailure) -> FlagsOutput {
    var batch: [UInt8] = []
    for line in try lines(of: source) {
      guard case .object(let attributes)? = try? JSONValue(parsing: line) else {
        throw FlagsFailure(.usage, "bad_context", "not a JSON object: \(line.prefix(80))", next: "one object a line")
      }
      let resolution = set.evaluate(key, EvaluationContext(attributes: attributes, timestamp: now))
      batch += json(resolution).serialized() + [0x0A]
      if batch.count > 1 << 16 { flush(&batch) }
    }
    flush(&batch)
    return FlagsOutput(kind: "Evaluations", data: .null, text: "", isWritten: true)
  }

  private static func flush(_ batch: inout [UInt8]) {
    guard !batch.isEmpty else { return }
    batch.removeLast()
    Terminal.print(String(decoding: batch, as: UTF8.self))
    batch = []
  }

  /// The lines of a file, or of standard input for `-`; empty ones left out.
  static func lines(of source: String) throws(FlagsFailure) -> [String] {
    let bytes = source == "-" ? Caller.standardInput() : try file(source)
    return bytes.split(separator: 0x0A).compactMap { line in
      let text = String(decoding: line.last == 0x0D ? line.dropLast() : line, as: UTF8.self)
      return text.isEmpty ? nil : text
    }
  }

  private static func file(_ path: String) throws(FlagsFailure) -> [UInt8] {
    do {
      return try readFile(path, limit: 1 << 30).bytes
    } catch {
      throw .file(error)
    }
  }

  /// The clients to sample: keys or JSON objects, one a line (`--keys`), else made-up keys (`--count`).
  static func sample(_ invocation: FlagsInvocation) throws(FlagsFailure) -> [EvaluationContext] {
    guard let source = invocation.arguments["--keys"] else {
      return Simulation.keys(count: try invocation.number("--count", in: 1...10_000_000) ?? 10_000)
    }
    var contexts: [EvaluationContext] = []
    for line in try lines(of: source) {
      // The gateway's log is JSON, one object a line; lines that are about no client are passed over.
      if line.hasPrefix("{"), case .object(let attributes)? = try? JSONValue(parsing: line) {
        if attributes["targetingKey"] != nil {
          contexts.append(EvaluationContext(attributes: attributes, timestamp: now))
        }
      } else {
        contexts.append(EvaluationContext(targetingKey: line, timestamp: now))
      }
    }
    return contexts
  }

  /// The hashes of clients in a gateway's log, each once; `nil` when `--keys` is no such log.
  static func clientHashes(_ invocation: FlagsInvocation) throws(FlagsFailure) -> Set<UInt32>? {
    guard let source = invocation.arguments["--keys"], source != "-" else { return nil }
    var hashes = Set<UInt32>()
    for line in try lines(of: source) where line.contains("\"clientHash\"") {
      let hash = (try? JSONValue(parsing: line))?["clientHash"]?.integer
      if let hash = hash.flatMap(UInt32.init(exactly:)) { hashes.insert(hash) }
    }
    return hashes.isEmpty ? nil : hashes
  }
}
