import Configuration
import Files
import Flags
import Gateway
import JSON
import Loop
import Processes
import RedisLog
import Sockets
import TLS
import Time

/// What holds the new closing back already, by a kill or by a guard, as far as it can be known before a rollout begins
/// or goes on: from the gateways that are named; else from the guard's state file, and the Redis of the configuration.
struct StandingOrders {
  static let options: Set<String> = ["--config"]
  static let help = """
      --config FILE      the gateway's configuration, for when no gateway is asked: the guard's state file and the
                         Redis that it names are looked at; without it, the state file beside the flag file
    """

  private struct Latch {
    var revision: String
    /// Who says so, for people.
    var source: String
    /// Whom to name when it is acknowledged.
    var admin: String
  }

  private var latch: Latch?
  private var kill: (source: String, admin: String)?
  private var draining: String?
  private var places: [String] = []
  private var faults: [String] = []
  private let wasAsked: Bool

  init(_ invocation: FlagsInvocation, _ loaded: LoadedFlags, _ key: String, _ report: AdminReport?) throws(FlagsFailure)
  {
    wasAsked = report != nil
    guard let report else {
      try readGuardStates(invocation, loaded, key)
      return
    }
    if let trip = report.gateways.lazy.compactMap(\.trip).first {
      latch = Latch(revision: trip.revision, source: "the guard of \(trip.gateway)", admin: trip.gateway)
    }
    kill = report.gateways.first(where: \.isKilled).map { ($0.url, $0.url) }
    draining = report.gateways.first(where: \.isDraining)?.url
  }

  /// The revision that a guard has taken back and nobody has acknowledged; `nil` where none is known.
  var latchedRevision: String? { latch?.revision }

  /// For people: what was looked at although nobody was asked.
  var notes: [String] {
    guard !wasAsked else { return [] }
    let seen = ["the flag file"] + places
    return faults + [
      "no gateway was asked whether a kill or its guard holds something back, only \(seen.joined(separator: " and ")) "
        + "\(seen.count == 1 ? "was" : "were") looked at; --admin URL asks"
    ]
  }

  /// - Parameter begins: whether there is no rollout yet.
  func requireNothing(_ loaded: LoadedFlags, _ key: String, begins: Bool) throws(FlagsFailure) {
    if loaded.set[key]?.isEnabled == false {
      throw FlagsFailure(
        .refused, "killed", "\"\(key)\" is disabled: no client has the variant", next: "fermata flags enable \(key)")
    }
    if let kill {
      throw FlagsFailure(
        .refused, "killed", "\(kill.source) is killed: no client of it has the variant",
        next: "fermata flags unkill --admin \(kill.admin)" + otherwise)
    }
    if let latch {
      let command = begins ? "ack --revision" : "rollout resume --ack"
      throw FlagsFailure(
        .refused, "latched", "\(latch.source) has stopped revision \(latch.revision)",
        next: "fermata flags \(command) \(latch.revision) --admin \(latch.admin)" + otherwise)
    }
    if let draining {
      throw FlagsFailure(
        .refused, "draining", "\(draining) is draining: it takes no new streams",
        next: "wait for the process that takes its place, and ask that")
    }
  }

  private var otherwise: String {
    wasAsked ? "" : "; if that is over, the same command with --admin URL, which asks the gateway itself"
  }

  // MARK: - Where no gateway was asked

  private mutating func readGuardStates(
    _ invocation: FlagsInvocation, _ loaded: LoadedFlags, _ key: String
  ) throws(FlagsFailure) {
    let configuration = try invocation.configuration()
    let state = configuration?.flags.guardState ?? (configuration?.flags.file ?? loaded.path) + ".guard"
    let rollout = try invocation.rollout(of: key, in: loaded.document)
    let acknowledged = [rollout?.acknowledged ?? "", FlagEdit.acknowledged(key, in: loaded.document)]
    if let saved = (try? readFile(state, limit: 1 << 16).bytes).flatMap({ try? JSONValue(parsing: $0) }) {
      places.append(state)
      take(kill: saved["kill"], latch: saved["latch"], by: "the guard of \(state)", acknowledged)
    } else if (try? FileStat(state)) != nil {
      faults.append("\(state) could not be read")
    }
    guard let shared = configuration?.guardRedis else { return }
    do throws(FlagsFailure) {
      let words = try Self.words(of: shared)
      places.append(shared.settings.description)
      take(
        kill: words["kill"], latch: words["latch"], by: "the guard of gateways at \(shared.settings.description)",
        acknowledged)
    } catch {
      faults.append(error.message)
    }
  }

  private mutating func take(kill: JSONValue?, latch: JSONValue?, by source: String, _ acknowledged: [String]) {
    if self.kill == nil, kill?["hard"]?.bool != nil { self.kill = ("a gateway (\(source))", "URL") }
    if self.latch == nil, let latch = GuardMachine.Latch(latch), !acknowledged.contains(latch.revision) {
      self.latch = Latch(revision: latch.revision, source: source, admin: "URL")
    }
  }

  private static let patience = Nanoseconds.seconds(3)
  /// As gateways have it: reading must not shorten it.
  private static let lifetime = Nanoseconds.seconds(86_400)

  /// What the gateways have told each other, as JSON.
  private static func words(
    of shared: (settings: RedisSettings, tls: TLSContext?, names: GuardStore.LimitNames)
  ) throws(FlagsFailure) -> [String: JSONValue] {
    var words: [String: JSONValue] = [:]
    var fault: String?
    do {
      let loop = try EventLoop()
      let store = GuardStore(
        dialer: Dialer(loop: loop), settings: shared.settings, tls: shared.tls, names: shared.names)
      var isAsked = false
      store.onNews = {
        guard store.isReady, !isAsked else { return }
        isAsked = true
        for name in ["kill", "latch"] {
          // The number 0 is never written.
          store.exchange(name, number: 0, text: "", lifetime: lifetime) { result in
            switch result {
            case .success(let word): words[name] = (try? JSONValue(parsing: word.text)) ?? .null
            case .failure(let error): fault = error.reason
            }
            if words.count == 2 || fault != nil { loop.stop() }
          }
        }
      }
      store.start()
      let timer = Timer(loop: loop) { loop.stop() }
      timer.schedule(after: patience)
      loop.run()
      fault = fault ?? (words.count == 2 ? nil : store.absence ?? "no answer within \(Int(patience.seconds)) s")
      timer.cancel()
      store.close()
    } catch {
      fault = "\(error)"
    }
    guard let fault else { return words }
    throw FlagsFailure(
      .inputOutput, "redis", "\(shared.settings.description) could not be asked: \(fault)", next: "check the Redis")
  }
}

extension FlagsInvocation {
  /// The gateway's configuration that `--config` names; `nil` without it.
  func configuration() throws(FlagsFailure) -> Configuration? {
    guard let file = arguments["--config"] else { return nil }
    var sources = SettingSources(environment: Host.environment)
    sources.file = file
    switch sources.load() {
    case .success(let configuration): return configuration
    case .failure(let error):
      throw FlagsFailure(
        .invalidFile, "invalid_configuration", error.description, next: "fermata check --config \(file)")
    }
  }
}
