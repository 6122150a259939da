package import JSON

/// What a reload can't put in force.
package struct RestartNeed: Sendable, Equatable {
  /// The setting's path.
  package let path: String
  package let inForce: JSONValue
  package let configured: JSONValue

  package var document: JSONValue { ["path": .string(path), "inForce": inForce, "configured": configured] }
}

extension Configuration {
  /// Settings that only a restart puts in force, without those that matter at the start alone.
  package static let restartPaths = [
    "listen", "socketMode", "share", "workers", "admin.listen", "log.format", "tracing", "flags.file", "flags.default",
    "flags.guardState",
    "flags.guardRedis",
    "flags.guard",
    "runs.memory", "runs.unread", "runs.unreadPerPrincipal", "runs.memoryShare", "runs.stored",
    "runs.storedPerPrincipal", "limits.connections", "limits.upstreamConnections", "limits.bodies",
  ]

  /// What is in force when `wanted` is loaded while this is: all of it but what needs a restart.
  package func reloading(_ wanted: Configuration) -> (inForce: Configuration, needs: [RestartNeed]) {
    var next = wanted
    let listenerNeeds = next.keepListeners(of: self)
    next.isShared = isShared
    next.workers = workers
    next.admin.listen = admin.listen
    next.log.format = log.format
    next.tracing = tracing
    next.flags = flags
    next.runs.memory = runs.memory
    next.runs.unread = runs.unread
    next.runs.unreadPerPrincipal = runs.unreadPerPrincipal
    next.runs.memoryShare = runs.memoryShare
    next.runs.stored = runs.stored
    next.runs.storedPerPrincipal = runs.storedPerPrincipal
    next.limits.connections = limits.connections
    next.limits.upstreamConnections = limits.upstreamConnections
    next.limits.bodies = limits.bodies
    next.runs.redis?.reuse(runs.redis)
    for (index, upstream) in wanted.upstreams.enumerated() {
      next.upstreams[index].tls?.reuse(upstreams.first { $0.name == upstream.name }?.tls)
    }
    let (old, new) = (JSONValue.object(document), JSONValue.object(wanted.document))
    let needs = Self.restartPaths.compactMap { path -> RestartNeed? in
      let (inForce, configured) = (old.member(at: path), new.member(at: path))
      return inForce == configured ? nil : RestartNeed(path: path, inForce: inForce, configured: configured)
    }
    return (next, needs + listenerNeeds)
  }
}

extension JSONValue {
  /// What stands at `path`, names with dots between; `null` where nothing does.
  fileprivate func member(at path: String) -> JSONValue {
    path.split(separator: ".").reduce(self) { value, name in value[String(name)] ?? .null }
  }
}
