import Configuration
import JSON
import Streams
import Testing
import Time

/// The settings that stand in tables.
@Suite struct `Settings in tables` {
  struct Row: Sendable, CustomTestStringConvertible {
    let place: String
    let name: String
    let kind: SettingKind

    var path: String { "\(place).\(name)" }
    var testDescription: String { path }
  }

  private static func rows<Owner>(_ place: String, _ settings: [Setting<Owner>]) -> [Row] {
    settings.map { Row(place: place, name: $0.name, kind: $0.kind) }
  }

  static let rows: [Row] = [
    rows("limits", LimitSettings.settings), rows("stream", StreamSettings.reading),
    rows("stream", StreamSettings.treatment), rows("stream", Watchdogs.settings),
    rows("defaults", WaterfallPolicy.settings), rows("defaults.timeouts", TimeoutSettings.settings),
    rows("defaults.health", HealthPolicy.settings), rows("defaults.health.check", HealthCheckPolicy.settings),
  ].flatMap { $0 }

  /// What the configuration says of a value by itself: the faults of that path but those that name another setting.
  private static func faults(_ row: Row, _ value: JSONValue) throws -> [String] {
    let text = """
      { upstreams: { b: { url: "http://backend" } }, routes: [{ name: "chat", path: "/*", upstreams: "b" }] }
      """
    var document = try JSONValue(parsing: text, dialect: .json5)
    document[path: row.path.split(separator: ".").map(String.init)] = value
    do {
      _ = try Configuration(decoding: document)
      return []
    } catch {
      return error.faults.filter { $0.path == row.path }.map(\.message).filter { !$0.hasPrefix("must ") }
    }
  }

  private static func seconds(_ time: Nanoseconds) -> JSONValue { .number(time.seconds) }

  @Test(arguments: rows) func `the bounds hold, and both are allowed`(_ row: Row) throws {
    let within: [JSONValue]
    let beyond: [JSONValue]
    switch row.kind {
    case .number(let range), .bytes(let range):
      within = [JSONValue(range.lowerBound), JSONValue(range.upperBound)]
      beyond = [JSONValue(range.lowerBound - 1), JSONValue(range.upperBound + 1)]
    case .time(let range):
      within = [Self.seconds(range.lowerBound), Self.seconds(range.upperBound)]
      beyond = [Self.seconds(range.lowerBound - .milliseconds(1)), Self.seconds(range.upperBound + .seconds(1))]
    case .switched: (within, beyond) = ([true, false], [1, "yes"])
    case .choice(let words): (within, beyond) = (words.map { JSONValue.string($0) }, ["other", 1])
    case .value: (within, beyond) = ([], [.null, []])
    }
    for value in within { #expect(try Self.faults(row, value) == [], "\(value.text())") }
    for value in beyond where !value.isNull { #expect(try Self.faults(row, value).count == 1, "\(value.text())") }
  }

  @Test func `each has a variable`() {
    for row in Self.rows { #expect(SettingSources.paths.contains(row.path)) }
  }

  @Test func `no name is there twice`() {
    #expect(Set(SettingSources.paths).count == SettingSources.paths.count && SettingSources.paths.count > 100)
  }
}
