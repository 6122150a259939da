package import JSON
package import Streams
package import Time

/// Who asked for something by the operators' listener, and why.
package struct OperatorWord {
  package var actor: String
  package var reason: String

  package init(actor: String, reason: String) {
    self.actor = actor
    self.reason = reason
  }
}

/// A kill by `POST /kill`. It is in force until it is lifted, across restarts too where the state file can be written.
package struct OperatorKill: Equatable, Sendable {
  /// Whether streams that are open end the old way too.
  package var isHard: Bool
  package var at: WallTime
  package var actor: String
  package var reason: String

  package init(isHard: Bool, at: WallTime, actor: String, reason: String) {
    self.isHard = isHard
    self.at = at
    self.actor = actor
    self.reason = reason
  }

  /// Reads what `json` wrote; anything else is no kill.
  package init?(_ json: JSONValue?) {
    guard let json, let isHard = json["hard"]?.bool else { return nil }
    self.isHard = isHard
    at = json["at"]?.string.flatMap(WallTime.init(rfc3339:)) ?? WallTime(milliseconds: 0)
    actor = json["actor"]?.string ?? ""
    reason = json["reason"]?.string ?? ""
  }

  package var json: JSONValue {
    ["hard": .bool(isHard), "at": .string(at.rfc3339), "actor": .string(actor), "reason": .string(reason)]
  }

  package var recall: Recall { isHard ? .hard : .announced }
}
