import Files
import JSON
import Processes
import Streams

/// Why there is no configuration: each mistake on a line of its own.
package struct ConfigurationError: Error, CustomStringConvertible, Sendable {
  package let description: String
}

/// Where settings come from: the command line wins over variables, these over the file, the file over the defaults.
///
/// All three are laid into one document, which is then read once: so every setting can be given in every way, is
/// checked in the same way, and a mistake is told with its path and its origin.
package struct SettingSources: Sendable {
  /// The configuration file, if any.
  package var file: String?
  private let secrets: SecretSource
  /// Variables that are nearly the name of a setting.
  private let misspelt: [(variable: String, error: ConfigurationError)]
  private var overrides: [(path: [String], value: JSONValue, origin: String)] = []

  /// The scalar settings that a variable may give; arrays and routes are for the file.
  package static let paths: [String] = [
    server, LimitSettings.settings.paths(in: "limits"), runs, StreamSettings.reading.paths(in: "stream"),
    StreamSettings.treatment.paths(in: "stream"), Watchdogs.settings.paths(in: "stream"),
    WaterfallPolicy.settings.paths(in: "defaults"), ["defaults.replayLimit"],
    TimeoutSettings.settings.paths(in: "defaults.timeouts"), HealthPolicy.settings.paths(in: "defaults.health"),
    HealthCheckPolicy.settings.paths(in: "defaults.health.check"),
  ].flatMap { $0 }

  private static let server = [
    "listen", "socketMode", "http2", "redirect", "proxyProtocol", "tls.cert", "tls.key", "tls.clientCertificates",
    "tls.clientRoots", "tls.clientChain",
    "tls.strictServerName", "tls.hsts", "share", "workers", "drain", "drainDelay", "logLevel", "log.format",
    "log.clientAddress", "log.progress", "tracing.endpoint",
    "tracing.serviceName", "tracing.sample", "tracing.generate", "tracing.progress", "errors.detail", "upstream",
    "admin.listen",
    "admin.readyWhen", "admin.token", "admin.readToken", "admin.scrapeToken", "admin.operate", "flags.file",
    "flags.startWithout", "flags.default", "flags.guardState", "flags.guardRedis.url", "flags.guardRedis.user",
    "flags.guardRedis.password", "flags.guardRedis.sentinel.user", "flags.guardRedis.sentinel.password",
    "flags.guardRedis.prefix", "flags.guardRedis.connectTimeout", "flags.guardRedis.commandTimeout",
    "flags.guardRedis.tls.roots", "flags.guardRedis.tls.verify", "flags.guardRedis.tls.serverName",
    "flags.guardRedis.tls.certificate", "flags.guardRedis.tls.key", "flags.guard.interval", "flags.guard.minSamples",
    "flags.guard.window", "flags.guard.failLimit", "flags.guard.onRegress",
    "capability.header", "identity.certificate", "identity.header", "identity.cookie", "identity.query",
    "identity.tenantHeader",
    "identity.internalHeader", "shadow.tail",
  ]

  private static let runs = [
    "runs.memory", "runs.unread",
    "runs.unreadPerPrincipal", "runs.memoryShare", "runs.stored", "runs.storedPerPrincipal", "runs.principalHeader",
    "runs.principalCertificate", "runs.drain",
    "runs.streamPath", "runs.runPath", "runs.readPath",
    "runs.redis.url", "runs.redis.user", "runs.redis.password", "runs.redis.sentinel.user",
    "runs.redis.sentinel.password", "runs.redis.prefix", "runs.redis.hashTags", "runs.redis.ttl",
    "runs.redis.connectTimeout", "runs.redis.commandTimeout", "runs.redis.patience", "runs.redis.lease",
    "runs.redis.readiness",
    "runs.redis.tls.roots", "runs.redis.tls.verify", "runs.redis.tls.serverName", "runs.redis.tls.certificate",
    "runs.redis.tls.key",
  ]

  /// - Parameter environment: the process's variables; those that begin with `FERMATA_` count.
  package init(environment: [String: String]) {
    secrets = SecretSource(environment: environment)
    misspelt = Self.misspelt(environment)
    file = environment["FERMATA_CONFIG"]
    overrides = TracingVariables.overrides(environment)
    for path in Self.paths {
      let variable = Self.variable(for: path)
      guard let text = environment[variable] else { continue }
      override(path, with: text, from: variable)
    }
  }

  /// Names that begin with `FERMATA_` may be anything, secrets or what Kubernetes makes of a service's name; one that is
  /// nearly a setting's is a mistake, unless the file says `{ env: "NAME" }` of it.
  private static func misspelt(_ environment: [String: String]) -> [(String, ConfigurationError)] {
    let known = ["FERMATA_CONFIG"] + paths.map(variable)
    return environment.keys.filter { $0.hasPrefix("FERMATA_") && !known.contains($0) }.sorted().compactMap { name in
      Spelling.nearest(to: name, among: known).map { nearest in
        (name, ConfigurationError(description: "\(name): no setting has this variable; did you mean \(nearest)?"))
      }
    }
  }

  /// `stream.firstToken` is `FERMATA_STREAM_FIRST_TOKEN`.
  package static func variable(for path: String) -> String {
    var name = "FERMATA_"
    for character in path {
      if character == "." {
        name += "_"
      } else if character.isUppercase {
        name += "_" + String(character)
      } else {
        name += character.uppercased()
      }
    }
    return name
  }

  /// Sets one setting. The text is a number or a switch where it looks like one.
  package mutating func override(_ path: String, with text: String, from origin: String) {
    overrides.append((path.split(separator: ".").map(String.init), Self.scalar(text, for: path), origin))
  }

  private static func scalar(_ text: String, for path: String) -> JSONValue {
    // Names stay texts even when they look like numbers.
    let isToken = path.hasPrefix("admin.") && path.hasSuffix("oken")
    let isAccount = path.hasSuffix(".user") || path.hasSuffix(".password")
    let isName = isAccount || path.hasPrefix("identity.") || path == "tracing.serviceName"
    let isFile = path == "flags.file" || path == "flags.guardState"
    if isToken || isName || isFile || path == "socketMode" {
      return .string(text)
    }
    if text == "true" || text == "false" { return .bool(text == "true") }
    if let number = Int(text) { return JSONValue(number) }
    if path == "tracing.sample", let share = Double(text) { return .number(share) }
    return .string(text)
  }

  /// Reads everything anew.
  package func load() -> Result<Configuration, ConfigurationError> {
    var document = JSONObject()
    if let file {
      do {
        document = try Self.read(file)
      } catch {
        return .failure(error)
      }
    }
    let mistakes = misspelt.filter { !JSONValue.object(document).namesVariable($0.variable) }
    if !mistakes.isEmpty {
      return .failure(ConfigurationError(description: mistakes.map(\.error.description).joined(separator: "\n")))
    }
    if document["workers"] == nil { document["workers"] = JSONValue(Host.processors) }
    for override in overrides { document.set(override.path[...], override.value) }
    do {
      return .success(try Configuration(decoding: .object(document), secrets: secrets))
    } catch {
      let lines = error.faults.map { fault in
        let origin = overrides.last { $0.path.joined(separator: ".") == fault.path }?.origin
        return "\(file ?? "settings"): \(fault.description)\(origin.map { " (from \($0))" } ?? "")"
      }
      return .failure(ConfigurationError(description: lines.joined(separator: "\n")))
    }
  }

  private static func read(_ file: String) throws(ConfigurationError) -> JSONObject {
    do {
      let bytes = try readFile(file, limit: 4 << 20).bytes
      let document = try JSONDocument(parsing: bytes, dialect: .json5)
      guard case .object(let object) = document.value else {
        throw ConfigurationError(description: "\(file): expected an object, found \(document.value.kindName)")
      }
      return object
    } catch let error as ConfigurationError {
      throw error
    } catch let error as FileError {
      throw ConfigurationError(description: error.description)
    } catch {
      throw ConfigurationError(description: "\(file): \(error)")
    }
  }
}

extension JSONObject {
  /// Sets the value at `path`, making the objects on the way. Something else on the way is left for the reader to
  /// complain about.
  fileprivate mutating func set(_ path: ArraySlice<String>, _ value: JSONValue) {
    guard let name = path.first else { return }
    if path.count == 1 {
      self[name] = value
      return
    }
    switch self[name] {
    case .object(var inner):
      inner.set(path.dropFirst(), value)
      self[name] = .object(inner)
    case nil, .null:
      var inner = JSONObject()
      inner.set(path.dropFirst(), value)
      self[name] = .object(inner)
    default: return
    }
  }
}

extension JSONValue {
  /// Whether `{ env: "NAME" }` occurs in it: the variable holds a secret then.
  fileprivate func namesVariable(_ name: String) -> Bool {
    switch self {
    case .object(let object):
      object["env"]?.string == name || object.members.contains { $0.value.namesVariable(name) }
    case .array(let values): values.contains { $0.namesVariable(name) }
    default: false
    }
  }
}
