import FermataClientCore
import HTTP
import TLS

extension Verb {
  static let tail = Verb(
    name: "tail", summary: "follow a stream, check that all of it came, resume it after a cut",
    help: """
      usage: fermata tail URL [OPTION …]

        -H 'NAME: VALUE'    a header to send, as often as needed; replaces one that tail sends by itself
        --data BODY         send BODY with POST (as application/json unless a header says otherwise)
        --json              one JSON object a line: each event, and at last the conclusion
        --no-resume         end at the first cut
        --roots FILE        for https: the certificates to trust (PEM) instead of the system's

      Over https it speaks HTTP/2 where the server does.

      Asks for the new closing (Prefer: stream-end), prints the events as they come, waits for stream_end, and checks that
      as many events came as it counts and that the last id is the one it names. After a cut the stream is resumed with
      Last-Event-ID: at the path that the server named in X-Stream-Resume; without one, a GET is repeated if the ids are
      the backend's own. It waits as long as the server's "retry:" says (1 s without one), twice as long each time, a
      random part of it, and gives up after five attempts in a row that brought no new event of the backend's. A server
      that begins another stream at that path is left at once.

      Events go to standard output, everything else to standard error.

      \(ExitStatus.help(of: "tail"))
      """, options: ["-H", "--data", "--json", "--no-resume", "--roots"]
  ) { arguments in
    do throws(Arguments.Mistake) {
      return TailSession.run(try TailOptions(arguments))
    } catch {
      return misused("tail", error)
    }
  }
}

/// What to ask for, and how.
struct TailOptions {
  let host: String
  let port: UInt16
  let authority: String
  /// In front of every target.
  let origin: String
  /// Everything but `Last-Event-ID`, ready to be sent.
  let fields: Fields
  let target: String
  let method: HTTP.Method
  let body: [UInt8]
  let isJSON: Bool
  /// For https.
  let tls: TLSContext?
  /// How the stream is read, checked and asked for again.
  let stream: StreamOptions

  init(_ arguments: [String]) throws(Arguments.Mistake) {
    let parsed = try Arguments(
      arguments, options: ["-H", "--data", "--roots"], switches: ["--json", "--no-resume"], operands: 1...1)
    let url = try TailURL(parsed.operands[0])
    (host, port, target, authority) = (url.host, url.port, url.target, url.authority)
    origin = (url.isSecure ? "https://" : "http://") + url.authority
    tls = url.isSecure ? try Self.context(roots: parsed["--roots"]) : nil
    body = Array((parsed["--data"] ?? "").utf8)
    method = parsed["--data"] == nil ? .get : .post
    isJSON = parsed.has("--json")
    let (fields, lastEventID) = try Self.fields(
      parsed.values["-H"] ?? [], authority: url.authority, body: method == .get ? nil : body)
    self.fields = fields
    stream = Self.stream(resumes: !parsed.has("--no-resume"), behind: lastEventID)
  }

  private static func stream(resumes: Bool, behind lastEventID: String) -> StreamOptions {
    // A server that keeps its streams alive is never silent for so long.
    let silenceLimit = Duration.seconds(90)
    var stream = StreamOptions()
    stream.resume = resumes ? .named : .off
    // It stands among the fields, where -H may replace it.
    stream.optIn = .off
    stream.lastEventID = lastEventID
    stream.firstTokenTimeout = nil
    stream.headTimeout = silenceLimit
    stream.deadTimeout = .after(silenceLimit)
    stream.endWait = silenceLimit
    stream.hardEndWait = silenceLimit
    stream.retry.maximumRetryAfter = .seconds(3600)
    stream.deliversGatewayEvents = true
    return stream
  }

  private static func context(roots: String?) throws(Arguments.Mistake) -> TLSContext {
    var settings = TLSClientSettings()
    settings.roots = roots
    settings.protocols = ["h2", "http/1.1"]
    do throws(TLSError) {
      return try TLSContext(client: settings)
    } catch {
      throw Arguments.Mistake(message: error.description)
    }
  }

  private static func fields(
    _ lines: [String], authority: String, body: [UInt8]?
  ) throws(Arguments.Mistake) -> (Fields, lastEventID: String) {
    var own = Fields()
    guard let host = FieldValue(authority) else { throw Arguments.Mistake(message: "the URL's host is not valid") }
    own.append(.host, host)
    own.append(.accept, literal: "text/event-stream")
    own.append(.cacheControl, literal: "no-cache")
    own.append(.prefer, literal: "stream-end")
    own.append(.userAgent, FieldValue("fermata-tail/\(Program.version)") ?? FieldValue(literal: "fermata-tail"))
    if body != nil { own.append(.contentType, literal: "application/json") }
    var given: [(FieldName, FieldValue)] = []
    var lastEventID = ""
    for line in lines {
      let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, let name = FieldName(String(parts[0])),
        let value = FieldValue(String(parts[1].drop { $0 == " " }))
      else { throw Arguments.Mistake(message: "-H wants 'Name: value', found \"\(line)\"") }
      if name.known == .contentLength || name.known == .transferEncoding {
        throw Arguments.Mistake(message: "\(name.string) follows from --data and can't be set")
      }
      own.removeAll(name)
      if name.known == .lastEventID {
        lastEventID = parts[1].drop { $0 == " " }.description
      } else {
        given.append((name, value))
      }
    }
    if let body { own.append(.contentLength, decimal: body.count) }
    for (name, value) in given { own.append(name, value) }
    return (own, lastEventID)
  }
}

/// The address of a stream: `http://host:port/path?query`, or https.
struct TailURL {
  let isSecure: Bool
  let host: String
  let port: UInt16
  let authority: String
  let target: String

  init(_ text: String) throws(Arguments.Mistake) {
    let withoutFragment = text.prefix { $0 != "#" }
    let scheme = withoutFragment.firstRange(of: "://")
    let rest = withoutFragment[(scheme?.upperBound ?? withoutFragment.startIndex)...]
    let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
    do {
      let base = try UpstreamURL(parsing: String(withoutFragment[..<end]))
      isSecure = base.scheme == .https
      (host, port, authority) = (base.host, base.port, base.authority)
    } catch {
      throw Arguments.Mistake(message: "\"\(text)\": \(error)")
    }
    let path = rest[end...]
    guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw Arguments.Mistake(message: "\"\(text)\": spaces and letters beyond ASCII must be percent-encoded")
    }
    target = path.hasPrefix("/") ? String(path) : "/" + path
  }
}
