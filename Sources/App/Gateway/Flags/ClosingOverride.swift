import JSON
package import Streams
import Time

/// What holds on every worker whatever the flag file says.
package struct ClosingOverride: Equatable, Sendable {
  /// The guard has taken the new closing back.
  package var isRolledBack = false
  /// An operator has, by `POST /kill`.
  package var kill = Recall.none

  package init(isRolledBack: Bool = false, kill: Recall = .none) {
    self.isRolledBack = isRolledBack
    self.kill = kill
  }

  /// Whether every new stream is legacy.
  var isLegacy: Bool { isRolledBack || kill != .none }

  /// What that means for the streams that are open.
  var recall: Recall { max(kill, isRolledBack ? .announced : .none) }
}

/// Who asked for something by the operators' listener, and why.
struct OperatorWord {
  var actor: String
  var reason: String
}

/// A kill by `POST /kill`. It is in force until it is lifted, across restarts too where the state file can be written.
struct OperatorKill: Equatable, Sendable {
  /// Whether streams that are open end the old way too.
  var isHard: Bool
  var at: WallTime
  var actor: String
  var reason: String

  init(isHard: Bool, at: WallTime, actor: String, reason: String) {
    self.isHard = isHard
    self.at = at
    self.actor = actor
    self.reason = reason
  }

  /// Reads what `json` wrote; anything else is no kill.
  init?(_ json: JSONValue?) {
    guard let json, let isHard = json["hard"]?.bool else { return nil }
    self.isHard = isHard
    at = json["at"]?.string.flatMap(WallTime.init(rfc3339:)) ?? WallTime(milliseconds: 0)
    actor = json["actor"]?.string ?? ""
    reason = json["reason"]?.string ?? ""
  }

  var json: JSONValue {
    ["hard": .bool(isHard), "at": .string(at.rfc3339), "actor": .string(actor), "reason": .string(reason)]
  }

  var recall: Recall { isHard ? .hard : .announced }
}
