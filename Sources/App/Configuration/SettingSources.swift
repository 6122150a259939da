import Files
import Flags
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

  /// The single values that a variable may give; arrays and routes are for the file.
  package static let paths: [SettingPath] = [
    // At the top, listeners and the operators' listener.
    texts("listen", "upstream"), others("http2", "logLevel", "errors.detail"),
    Configuration.settings.paths(in: nil), ListenerSettings.settings.paths(in: nil),
    texts("tls.cert", "tls.key"), others("tls.hsts"), ListenerTLS.settings.paths(in: "tls"),
    texts("admin.listen", "admin.token", "admin.readToken", "admin.scrapeToken"),
    AdminSettings.settings.paths(in: "admin"), LogSettings.settings.paths(in: "log"), texts("tracing.endpoint"),
    TracingSettings.settings.paths(in: "tracing"), LimitSettings.settings.paths(in: "limits"),
    // Telling clients apart.
    FlagSettings.settings.paths(in: "flags"), GuardPolicy.settings.paths(in: "flags.guard"),
    redis("flags.guardRedis", GuardRedisSettings.settings), CapabilitySettings.settings.paths(in: "capability"),
    IdentitySettings.settings.paths(in: "identity"), ShadowSettings.settings.paths(in: "shadow"),
    // Runs.
    CommonRunSettings.settings.paths(in: "runs"), others("runs.streamPath", "runs.runPath", "runs.readPath"),
    redis("runs.redis", RedisRunSettings.settings),
    // What routes begin with.
    StreamSettings.reading.paths(in: "stream"), StreamSettings.treatment.paths(in: "stream"),
    Watchdogs.settings.paths(in: "stream"), WaterfallPolicy.settings.paths(in: "defaults"),
    others("defaults.replayLimit"), TimeoutSettings.settings.paths(in: "defaults.timeouts"),
    HealthPolicy.settings.paths(in: "defaults.health"), HealthCheckPolicy.settings.paths(in: "defaults.health.check"),
  ].flatMap { $0 }

  private static func texts(_ paths: String...) -> [SettingPath] { paths.map { SettingPath($0, isText: true) } }
  private static func others(_ paths: String...) -> [SettingPath] { paths.map { SettingPath($0, isText: false) } }

  /// What is given of a Redis.
  private static func redis<Owner>(_ place: String, _ settings: [Setting<Owner>]) -> [SettingPath] {
    let account = ["url", "user", "password", "sentinel.user", "sentinel.password"]
    let files = ["tls.certificate", "tls.key"]
    return (account + files).map { SettingPath("\(place).\($0)", isText: true) } + settings.paths(in: place)
      + TLSSettings.settings.paths(in: "\(place).tls")
  }

  /// - Parameter environment: the process's variables; those that begin with `FERMATA_` count.
  package init(environment: [String: String]) {
    secrets = SecretSource(environment: environment)
    misspelt = Self.misspelt(environment)
    file = environment["FERMATA_CONFIG"]
    overrides = TracingVariables.overrides(environment)
    for setting in Self.paths {
      let variable = Self.variable(for: setting.path)
      guard let text = environment[variable] else { continue }
      override(setting.path, with: text, from: variable)
    }
  }

  /// Names that begin with `FERMATA_` may be anything, secrets or what Kubernetes makes of a service's name; one that is
  /// nearly a setting's is a mistake, unless the file says `{ env: "NAME" }` of it.
  private static func misspelt(_ environment: [String: String]) -> [(String, ConfigurationError)] {
    let known = ["FERMATA_CONFIG"] + paths.map { variable(for: $0.path) }
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

  /// Sets one setting. The text is a number or a switch where it looks like one, but for settings that are texts.
  package mutating func override(_ path: String, with text: String, from origin: String) {
    overrides.append((path.split(separator: ".").map(String.init), Self.scalar(text, for: path), origin))
  }

  private static let textPaths = Set(paths.filter(\.isText).map(\.path))

  private static func scalar(_ text: String, for path: String) -> JSONValue {
    if textPaths.contains(path) { return .string(text) }
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
