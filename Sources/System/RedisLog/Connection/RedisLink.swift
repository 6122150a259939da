package import Loop
package import Time

/// Where commands go: one server (`RedisConnection`), or a cluster of them (`RedisCluster`).
///
/// Every command is answered, by Redis or by an error. Confined to the loop's thread.
package protocol RedisLink: AnyObject {
  var loop: EventLoop { get }
  var limits: RedisConnection.Limits { get }
  /// Whether commands are carried out at once; of a cluster, by at least one of its servers.
  var isReady: Bool { get }
  var isClosed: Bool { get }
  /// Whether Redis was away and others may not have found it again yet.
  var hasJustReturned: Bool { get }
  /// Commands that wait for their answers.
  var pendingCommands: Int { get }
  /// What has happened since the beginning.
  var counts: RedisConnection.Counts { get }
  /// What was wrong when a connection last could not be made or was lost; for people.
  var lastFault: String? { get }
  /// Which error Redis answered last, and its text; for people.
  var lastRefusal: String? { get }
  /// Why runs can never be kept there, where that is known.
  var refusal: String? { get }
  /// Since when it is known that Redis may lack what it had acknowledged, where no marker tells that (`StoreLife`).
  ///
  /// - Parameter slot: of a cluster, whose server is meant; `nil`: any of them.
  func doubtful(in slot: Int?) -> MonotonicTime?
  /// Names the server until it is restarted; empty where that is not known, and of a cluster.
  var serverID: String { get }
  /// Told of a new connection before all others; what it sends goes ahead of the commands that wait for the connection.
  var forerunner: (any RedisConnectionObserver)? { get set }

  /// Connects without waiting for the first command.
  func start()
  /// Ends all connections for good. Commands that wait fail after the current callback.
  func close()
  /// Whether a thousand commands more about `key` would be taken, of 2 MiB together, and Redis keeps up with what it was
  /// sent.
  func hasRoom(for key: String) -> Bool
  func add(_ observer: any RedisConnectionObserver)
  func remove(_ observer: any RedisConnectionObserver)

  /// Sends a command. Answers come later in any case.
  ///
  /// - Parameter timeout: instead of the usual one, for commands that block.
  /// - Parameter mayWait: until what is on its way is answered.
  /// - Parameter write: appends the command's name and arguments.
  /// - Returns: whether it was taken. If not it will not be sent, and is answered by a failure all the same.
  @discardableResult
  func send(
    to receiver: any RedisReceiver, tag: UInt64, timeout: Nanoseconds?, mayWait: Bool, _ write: (RedisCommand) -> Void
  ) -> Bool

  /// Sends a command about no key, to every server that there is; each answers.
  func sendToAll(_ receiver: any RedisReceiver, tag: UInt64, _ write: (RedisCommand) -> Void)
}

extension RedisLink {
  @discardableResult
  package func send(
    to receiver: any RedisReceiver, tag: UInt64 = 0, mayWait: Bool = false, _ write: (RedisCommand) -> Void
  ) -> Bool {
    send(to: receiver, tag: tag, timeout: nil, mayWait: mayWait, write)
  }

  /// Sends a command whose answer is told to `completion`, once.
  package func send(
    _ write: (RedisCommand) -> Void, completion: @escaping (Result<RedisReply, RedisError>) -> Void
  ) {
    send(to: RedisCompletion(completion), write)
  }

  /// Until when a command that is first sent now may be sent again, where that does no harm.
  var lastTry: MonotonicTime { loop.now + limits.command }
}
