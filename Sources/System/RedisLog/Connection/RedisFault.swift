import Bytes

/// What an error answer says: the word that it begins with.
package enum RedisFault: String, CaseIterable, Hashable, Sendable {
  /// A replica was asked to write.
  case readOnly = "READONLY"
  /// A replica that has lost its master, and has no answers without it.
  case masterDown = "MASTERDOWN"
  /// It has just been started and reads its data.
  case loading = "LOADING"
  /// `maxmemory` is reached and nothing may be evicted.
  case outOfMemory = "OOM"
  /// The disk refuses what must be stored (`stop-writes-on-bgsave-error`).
  case cannotSave = "MISCONF"
  /// Too few replicas for `min-replicas-to-write`.
  case noReplicas = "NOREPLICAS"
  /// The account may not do this.
  case noPermission = "NOPERM"
  case notAuthenticated = "NOAUTH"
  case wrongPassword = "WRONGPASS"
  /// The key lies on another node of a Redis Cluster.
  case moved = "MOVED"
  case ask = "ASK"
  case clusterDown = "CLUSTERDOWN"
  case crossSlot = "CROSSSLOT"
  case tryAgain = "TRYAGAIN"
  /// A script runs for too long.
  case busy = "BUSY"
  /// A command that blocked was ended: the server has become a replica, or somebody has asked for it.
  case unblocked = "UNBLOCKED"
  /// The script's text has to be sent again: the server was restarted, or `SCRIPT FLUSH` was sent.
  case noScript = "NOSCRIPT"
  /// The key is of another kind.
  case wrongType = "WRONGTYPE"
  case other

  package init(_ text: Span<UInt8>) {
    self = Self.allCases.first { text.begins(with: $0.rawValue) } ?? Self.inScript(text)
  }

  /// Redis before 7.0 puts a script's error into one of its own: `ERR Error running script (...): -OOM command ...`.
  private static func inScript(_ text: Span<UInt8>) -> RedisFault {
    guard text.begins(with: "ERR") else { return .other }
    // What Redis 7 says of a script that its account may not run to the end.
    if text.hasPrefix("ERR The user executing the script can't ") { return .noPermission }
    for index in text.indices.dropFirst() where text[index] == UInt8(ascii: "-") && text[index - 1] == 0x20 {
      let rest = text.extracting(droppingFirst: index + 1)
      if let fault = Self.allCases.first(where: { $0 != .other && rest.begins(with: $0.rawValue) }) { return fault }
    }
    return .other
  }

  /// Whether a new connection is needed: the address may lead to another server by now, or to the same one once it is
  /// ready.
  var losesConnection: Bool {
    switch self {
    case .readOnly, .masterDown, .loading, .moved, .notAuthenticated: true
    default: false
    }
  }

  /// Whether another server of the cluster, or the same one in a moment, has the answer.
  var isOfCluster: Bool {
    switch self {
    case .moved, .ask, .tryAgain, .clusterDown: true
    default: false
    }
  }

  /// Whether nothing more can be written for a while, though questions are answered.
  package var refusesWrites: Bool {
    switch self {
    case .outOfMemory, .cannotSave, .noReplicas, .noPermission, .readOnly: true
    default: false
    }
  }

  /// Whether it says more about Redis at this moment than about the command.
  var isTransient: Bool {
    switch self {
    case .readOnly, .masterDown, .loading, .busy, .tryAgain, .outOfMemory, .unblocked, .clusterDown, .cannotSave,
      .noReplicas, .noPermission, .notAuthenticated, .moved, .ask, .noScript:
      true
    case .wrongPassword, .crossSlot, .wrongType, .other: false
    }
  }
}

extension RedisReply {
  /// The error in one line, which begins with its word, for people.
  var errorText: String {
    let text = String(self.text.prefix(200).prefix { !$0.isNewline })
    let fault = withBytes { RedisFault($0) }
    return fault == .other || text.hasPrefix(fault.rawValue) ? text : "\(fault.rawValue) (\(text))"
  }
}

extension Span where Element == UInt8 {
  /// Whether the first word is `word`.
  fileprivate func begins(with word: String) -> Bool {
    let word = word.utf8Span.span
    return hasPrefix(word) && (count == word.count || self[word.count] == 0x20)
  }
}
