/// The messages that wait for the consumer: order, filter, back-pressure.
struct Delivery {
  /// What a waiting event costs beyond its text.
  private static let eventCost = 200

  private let options: StreamOptions
  private var queue: [(message: Message, cost: Int, isOwn: Bool)] = []
  private var head = 0
  private var bytes = 0
  /// The last message taken is one of the gateway's own events.
  private(set) var tookOwn = false
  private var takenID: String
  private var newestID: String
  private var order: IndexOrder?
  private var filter: String?

  init(_ options: StreamOptions) {
    self.options = options
    takenID = options.lastEventID
    newestID = options.lastEventID
    if options.order == .index { order = IndexOrder(first: options.lastEventID.isEmpty ? 0 : nil) }
    if case .only(let id) = options.filterStreamID { filter = id }
  }

  var isFull: Bool { bytes >= options.maximumQueuedBytes }
  var hasItems: Bool { head < queue.count }
  /// The last event id in force for the consumer.
  var lastTakenID: String { hasItems ? takenID : newestID }

  /// An id came without an event.
  mutating func idChanged(_ id: String) { newestID = id }

  /// Takes one event. False if the filter leaves it out.
  mutating func add(_ event: ServerEvent, _ meaning: Meaning, _ clocks: inout Clocks, _ now: Double) -> Bool {
    newestID = event.id
    var payload = meaning.payload
    if payload == nil, options.filterStreamID != .off || order != nil { payload = JSONValue.object(in: event.data) }
    if options.filterStreamID != .off, let named = payload?["streamId"]?.string {
      if filter == nil { filter = named }
      if named != filter { return false }
    }
    guard order != nil, meaning.kind == .event else {
      put(.event(event))
      return true
    }
    if let index = payload?["index"]?.integer, GatewayID(event.id) == nil {
      addInOrder(event, index, &clocks, now)
    } else {
      release(&clocks)
      put(.event(event))
    }
    return true
  }

  /// One of the gateway's own events, for those who want to see them.
  mutating func addOwn(_ event: ServerEvent, _ clocks: inout Clocks) {
    release(&clocks)
    put(.event(event), isOwn: true)
  }

  /// What follows does not continue what came.
  mutating func reset(_ reset: StreamReset, _ clocks: inout Clocks) {
    release(&clocks)
    if order != nil { order = IndexOrder(first: nil) }
    newestID = ""
    put(.reset(reset))
  }

  /// Lets out what waits for a hole in the order.
  mutating func release(_ clocks: inout Clocks) {
    clocks.clear(.order)
    for event in order?.release() ?? [] { put(.event(event)) }
  }

  /// The next message.
  mutating func take(_ clocks: inout Clocks, _ now: Double) -> Message? {
    guard hasItems else { return nil }
    let (message, cost, isOwn) = queue[head]
    tookOwn = isOwn
    head += 1
    if head == queue.count {
      queue.removeAll(keepingCapacity: queue.count < 1024)
      head = 0
    } else if head > 1024, head > queue.count / 2 {
      queue.removeFirst(head)
      head = 0
    }
    bytes -= cost
    if case .event(let event) = message { takenID = event.id } else { takenID = "" }
    if !isFull { clocks.goOn(now) }
    return message
  }

  /// The consumer left.
  mutating func drop() {
    newestID = lastTakenID
    queue = []
    head = 0
    bytes = 0
    if order != nil { order = IndexOrder(first: nil) }
  }

  private mutating func addInOrder(_ event: ServerEvent, _ index: Int, _ clocks: inout Clocks, _ now: Double) {
    for ready in order?.add(event, index) ?? [] { put(.event(ready)) }
    guard let order else { return }
    if !order.isWaiting {
      clocks.clear(.order)
    } else if order.heldBytes >= options.maximumQueuedBytes {
      release(&clocks)
    } else if !clocks.has(.order) {
      clocks.set(.order, now + options.orderWait.inSeconds)
    }
  }

  private mutating func put(_ message: Message, isOwn: Bool = false) {
    var cost = Self.eventCost
    if case .event(let event) = message { cost += event.data.utf8.count + event.id.utf8.count }
    bytes += cost
    queue.append((message, cost, isOwn))
  }
}
