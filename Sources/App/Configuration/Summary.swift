import HTTP
package import JSON
import Loop
import Streams
import Telemetry
import Time

extension Configuration {
  /// The effective configuration as JSON that can be read again; secrets are left out.
  package var summary: String {
    JSONValue.object(document).text(.pretty)
  }

  package var document: JSONObject {
    var object = JSONObject()
    object["listen"] = .string(listen.description)
    for member in main.members { object[member.name] = member.value }
    object["listeners"] = .array(listeners.map(\.document))
    for member in Self.settings.members(of: self) { object[member.name] = member.value }
    object["logLevel"] = .string("\(log.level)")
    object["log"] = log.document
    object["tracing"] = tracing.document
    object["errors"] = ["detail": .string(errorDetail.rawValue)]
    object["admin"] = [
      "listen": .string(admin.listen.description), "hosts": .array(admin.hosts.map { .string($0) }),
      "readyWhen": .string(admin.readyWhen.rawValue), "operate": .bool(admin.operate),
      "token": admin.token == nil ? .null : "(set)", "readToken": admin.readToken == nil ? .null : "(set)",
      "scrapeToken": admin.scrapeToken == nil ? .null : "(set)",
    ]
    object["flags"] = flags.document
    object["capability"] = capability.document
    object["identity"] = identity.document
    object["shadow"] = ShadowSettings.settings.document(of: shadow)
    object["trustedProxies"] = .array(trustedProxies.map { .string($0.description) })
    object["limits"] = LimitSettings.settings.document(of: limits)
    object["runs"] = runs.document
    object["upstreams"] = .object(
      JSONObject(upstreams.map { upstream in JSONObject.Member(name: upstream.name, value: upstream.document) }))
    object["routes"] = .array(routes.map(\.document))
    return object
  }
}

extension UpstreamSettings {
  fileprivate var document: JSONValue {
    let headers = headers.map { JSONObject.Member(name: $0.name.string, value: .string($0.origin)) }
    return [
      "url": .string(url.description), "headers": .object(JSONObject(headers)),
      "removeHeaders": .array(removedHeaders.map { .string($0.string) }),
      "dropUnderscoreTwins": .bool(dropsTwins), "weight": JSONValue(weight),
      "timeouts": timeouts.document, "health": health.document, "idleConnections": JSONValue(idleConnections),
      "idleTimeout": .string(idleTimeout.text), "preserveHost": .bool(preservesHost),
      "tls": tls?.document ?? .null,
    ]
  }
}

extension RouteSettings {
  fileprivate var document: JSONValue {
    let conditions = conditions.map { JSONObject.Member(name: $0.name.string, value: $0.document) }
    var object: JSONObject = [
      "name": .string(name), "path": path.map { .string($0.description) } ?? .null,
      "methods": methods.map { .array($0.map { .string($0.name) }) } ?? .null,
      "headers": .object(JSONObject(conditions)), "upstreams": upstreams.isEmpty ? .null : upstreams.document,
    ]
    for member in waterfall.members { object[member.name] = member.value }
    object["replayLimit"] = JSONValue(replayLimit)
    object["cors"] = cors?.document ?? false
    object["flagAttributes"] = .object(flagAttributes)
    object["capabilityHeader"] = capabilityHeader.map { .string($0) } ?? .null
    object["websocket"] = .bool(takesWebSockets)
    object["stream"] = stream.document
    object["runs"] = runs.map { RunSettings.settings.document(of: $0) } ?? false
    return .object(object)
  }
}

extension StreamSettings {
  fileprivate var document: JSONValue {
    let watchdogs = Watchdogs.settings.members(of: watchdogs)
    let names = JSONObject.Member(name: "completionEvents", value: .array(completionEvents.map { .string($0) }))
    return .object(
      JSONObject(Self.reading.members(of: self) + [names] + watchdogs + Self.treatment.members(of: self)))
  }
}

extension Nanoseconds {
  /// As the configuration writes it: `35s`, `250ms`.
  var text: String {
    value % 1_000_000_000 == 0 ? "\(value / 1_000_000_000)s" : "\(value / 1_000_000)ms"
  }
}
