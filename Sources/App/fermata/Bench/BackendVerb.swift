import Harness
import Loop
import TLS

extension Verb {
  static let backend = Verb(
    name: "backend", summary: "a backend that plays scripts",
    help: """
      usage: fermata backend [--listen ADDRESS:PORT] [--certificate FILE --key FILE] [--until-input-ends]

      Plays the script in each request's query, such as /script?events=10&interval=5&cut=3. Prints
      {"listening":"ADDRESS:PORT","port":PORT} when it is ready; port 0, the default, picks a free one.
      With a certificate it speaks https.
      """, isHidden: true
  ) { arguments in
    do throws(Arguments.Mistake) {
      return try BackendVerb.run(arguments)
    } catch {
      return misused("backend", error)
    }
  }
}

/// `fermata backend`: the scripted backend as a program of its own, for the bench and for clients of other languages. Not
/// in the list of verbs, because it is no use in front of anyone.
enum BackendVerb {
  static func run(_ arguments: [String]) throws(Arguments.Mistake) -> Int32 {
    let parsed = try Arguments(
      arguments, options: ["--listen", "--certificate", "--key"], switches: ["--until-input-ends"])
    guard let address = SocketAddress(parsing: parsed["--listen"] ?? "127.0.0.1:0") else {
      throw Arguments.Mistake(message: "--listen wants ADDRESS:PORT, such as 127.0.0.1:0")
    }
    let tls = parsed["--certificate"].map { certificate in
      TLSServerSettings(identity: TLSIdentity(certificate: certificate, key: parsed["--key"] ?? certificate))
    }
    do {
      let backend = try ScriptedBackend.start(address: address, tls: tls)
      Terminal.print("{\"listening\":\"\(backend.address)\",\"port\":\(backend.port)}")
      try InputEnd.wait(isWatched: parsed.has("--until-input-ends"))
      backend.stop()
      return ExitStatus.success
    } catch {
      Terminal.error("fermata backend: \(error)")
      return ExitStatus.failure
    }
  }

  /// The address in the line that a backend prints.
  static func address(in line: String) -> SocketAddress? {
    let parts = line.split(separator: "\"")
    return parts.count > 3 ? SocketAddress(parsing: String(parts[3])) : nil
  }
}

/// The end of the standard input as a sign that the parent is gone or has had enough.
final class InputEnd: SocketWatchHandler {
  private let loop: EventLoop
  private var watch: SocketWatch?
  /// `false` for an input that cannot be watched, such as a file.
  private(set) var isWatched = false

  /// - Parameter loop: is stopped when the input has ended. Nobody writes to it, so readable means ended.
  init(stopping loop: EventLoop) {
    self.loop = loop
    watch = SocketWatch(loop: loop, descriptor: 0, handler: self)
    isWatched = watch?.startReading() ?? false
  }

  func socketBecameReadable() {
    watch?.cancel()
    loop.stop()
  }

  func socketBecameWritable() {}

  /// Blocks until then; for ever when it is not watched.
  static func wait(isWatched: Bool) throws {
    let loop = try EventLoop()
    let end = isWatched ? InputEnd(stopping: loop) : nil
    loop.run()
    withExtendedLifetime(end) {}
  }
}
