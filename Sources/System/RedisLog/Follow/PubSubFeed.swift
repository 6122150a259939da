import Bytes
import JSON
package import Runs
import Streams

/// A run whose worker publishes its events on a channel, as they happen and to those who listen at that moment.
///
/// A message is a JSON object with the members `event` and `data` as a worker's entry has them, or any other text: the
/// data of an event without a type. `{"end":"completed"}` ends the run, in the same message as its last event or in one
/// of its own. Nothing is kept in Redis, so a connection that is lost is the end: what was published since is lost too.
package final class PubSubFeed: RunFeed {
  private let channels: RedisChannels
  private let name: String
  private var handler: (any RunFeedHandler)?
  private var number: UInt64 = 0
  private var bytes: UInt64 = 0
  private var isOpen = false

  /// - Parameter template: the channel's name; `<id>` in it becomes the run's id.
  package init(
    run: RunID, template: String = "ai:run:<id>:pubsub", channels: RedisChannels, handler: any RunFeedHandler
  ) {
    self.channels = channels
    self.handler = handler
    name = Self.name(template, of: run)
    channels.add(self, to: name)
  }

  package static func name(_ template: String, of run: RunID) -> String {
    guard let range = template.firstRange(of: "<id>") else { return template }
    return template[..<range.lowerBound] + run.description + template[range.upperBound...]
  }

  package func cancel() {
    guard handler != nil else { return }
    handler = nil
    channels.remove(self, from: name)
  }

  private func end(_ tell: (any RunFeedHandler) -> Void) {
    guard let handler else { return }
    cancel()
    tell(handler)
  }

  private func deliver(_ event: WorkerEvent) {
    number += 1
    var text = ByteBuffer()
    event.write(to: &text)
    bytes += UInt64(text.count)
    handler?.runReceived(text.span, EntryMetadata(number: number))
  }
}

extension PubSubFeed: ChannelListener {
  package func channelOpened() { isOpen = true }

  package func channelClosed() {
    if isOpen { end { $0.runVanished() } }
  }

  package func channelReceived(_ message: RedisReply) {
    let text = message.bytes
    guard text.first == UInt8(ascii: "{"), let json = try? JSONValue(parsing: text), json.isWorkerEvent else {
      return deliver(WorkerEvent(data: text))
    }
    if json["data"] != nil || json["event"] != nil {
      let data = json["data"].map { $0.string.map { Array($0.utf8) } ?? $0.serialized() }
      deliver(WorkerEvent(type: json["event"]?.string ?? "", data: data ?? [], id: json["id"]?.string ?? ""))
    }
    guard let word = json["end"]?.string else { return }
    let record = EndRecord(workerWord: word, reason: json["reason"]?.string, events: number, bytes: bytes)
    end { $0.runEnded(record) }
  }
}

extension JSONValue {
  /// Whether it is an object that says how it is to be read, and not data that happens to be an object.
  fileprivate var isWorkerEvent: Bool {
    if self["end"]?.string != nil { return true }
    return self["data"] != nil && (self["event"] == nil || self["event"]?.string != nil)
  }
}
