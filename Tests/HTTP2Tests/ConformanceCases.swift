import HTTP2
import HTTP2Frames

private typealias F = Frames

private let block = HPACK.encode(HPACK.get())

/// The cases, by where their rules stand.
enum ConformanceCases {
  /// RFC 9113, 3.4: the preface.
  static let start: [Conformance] = [
    .init("a preface and SETTINGS", [F.start], .goesOn, isRaw: true),
    .init(
      "a preface, SETTINGS with entries and a request at once",
      [F.preface, F.settings([(3, 100), (4, 65_535)]), F.get(1)], .answer(1, 200), isRaw: true),
    .init("an HTTP/1.1 request", [Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)], .badPreface, isRaw: true),
    .init("a preface with a wrong last byte", [F.preface.dropLast() + [0x0B]], .badPreface, isRaw: true),
    .init("zeros", [[UInt8](repeating: 0, count: 24)], .badPreface, isRaw: true),
    .init(
      "a preface without SETTINGS behind it", [F.preface, F.ping()], .connectionError(.protocolError), isRaw: true),
    .init("a preface with HEADERS behind it", [F.preface, F.get(1)], .connectionError(.protocolError), isRaw: true),
    .init(
      "a preface with an acknowledgement behind it", [F.preface, F.settingsAcknowledgement],
      .connectionError(.protocolError), isRaw: true),
  ]

  /// RFC 9113, 4 and 5.5: frames in general.
  static let frames: [Conformance] = [
    .init("a frame of an unknown type", [F.frame(0xF0, [1, 2, 3])], .goesOn),
    .init("a frame of an unknown type on a stream", [F.get(1), F.frame(0xF0, stream: 1, [1, 2, 3])], .answer(1, 200)),
    .init("flags that PING does not have", [F.frame(6, flags: 0x16, [1, 2, 3, 4, 5, 6, 7, 8])], .goesOn),
    .init("the reserved bit of a PING", [F.frame(6, stream: 0x8000_0000, [1, 2, 3, 4, 5, 6, 7, 8])], .goesOn),
    .init("the reserved bit of HEADERS", [F.frame(1, flags: 5, stream: 0x8000_0001, block)], .answer(1, 200)),
    .init("DATA of 16384 bytes", [F.post(1), F.data(1, count: 16_384, ends: true)], .answer(1, 200)),
    .init("DATA of 16385 bytes", [F.post(1), F.data(1, count: 16_385, ends: true)], .connectionError(.frameSizeError)),
    .init(
      "HEADERS of 16385 bytes", [F.frame(1, flags: 5, stream: 1, [UInt8](repeating: 0x82, count: 16_385))],
      .connectionError(.frameSizeError)),
    .init(
      "SETTINGS of 16386 bytes", [F.frame(4, [UInt8](repeating: 0, count: 16_386))], .connectionError(.frameSizeError)),
    .init(
      "a frame that declares more than there ever is", [F.frame(0, stream: 1, declaring: 0xFF_FFFF, [])],
      .connectionError(.frameSizeError)),
    .init(
      "an unknown frame within a header section", [F.frame(1, flags: 1, stream: 1, block), F.frame(0xF0, [1])],
      .connectionError(.protocolError)),
    .init(
      "PRIORITY within a header section", [F.frame(1, flags: 1, stream: 1, block), F.priority(1)],
      .connectionError(.protocolError)),
    .init(
      "PING within a header section", [F.frame(1, flags: 1, stream: 1, block), F.ping()],
      .connectionError(.protocolError)),
    .init(
      "HEADERS of another stream within a header section", [F.frame(1, flags: 1, stream: 1, block), F.get(3)],
      .connectionError(.protocolError)),
    .init(
      "DATA within a header section", [F.frame(1, flags: 0, stream: 1, block), F.data(1, "a")],
      .connectionError(.protocolError)),
    .init(
      "CONTINUATION of another stream", [F.frame(1, flags: 1, stream: 1, block), F.continuation(3, block)],
      .connectionError(.protocolError)),
  ]

  /// RFC 9113, 5.1 to 5.4: streams.
  static let states: [Conformance] = [
    .init("idle: DATA", [F.data(1, "test", ends: true)], .connectionError(.protocolError)),
    .init("idle: RST_STREAM", [F.reset(1)], .connectionError(.protocolError)),
    .init("idle: WINDOW_UPDATE", [F.windowUpdate(1, 100)], .connectionError(.protocolError)),
    .init("idle: CONTINUATION", [F.continuation(1, block)], .connectionError(.protocolError)),
    .init("idle: PRIORITY", [F.priority(1)], .goesOn),
    .init("idle: PRIORITY, then the request", [F.priority(1, on: 3), F.get(1)], .answer(1, 200)),
    .init("half-closed: DATA", [F.get(1), F.data(1, "test", ends: true)], .connectionError(.streamClosed)),
    .init("half-closed: HEADERS", [F.get(1), F.get(1)], .connectionError(.streamClosed)),
    .init("half-closed: CONTINUATION", [F.get(1), F.continuation(1, block)], .connectionError(.protocolError)),
    .init("half-closed: WINDOW_UPDATE", [F.get(1), F.windowUpdate(1, 100)], .answer(1, 200)),
    .init("half-closed: PRIORITY", [F.get(1), F.priority(1)], .answer(1, 200)),
    .init("half-closed: RST_STREAM", [F.get(1), F.reset(1)], .goesOn),
    .init(
      "closed by the client's reset: DATA", [F.post(1), F.reset(1), F.data(1, "test", ends: true)],
      .connectionError(.streamClosed)),
    .init("closed by the client's reset: HEADERS", [F.post(1), F.reset(1), F.get(1)], .connectionError(.streamClosed)),
    .init(
      "closed by the client's reset: CONTINUATION", [F.post(1), F.reset(1), F.continuation(1, block)],
      .connectionError(.protocolError)),
    .init("closed by the client's reset: PRIORITY", [F.post(1), F.reset(1), F.priority(1)], .goesOn),
    .init("closed by the client's reset: another reset", [F.post(1), F.reset(1), F.reset(1)], .goesOn),
    .init("closed by the client's reset: WINDOW_UPDATE", [F.post(1), F.reset(1), F.windowUpdate(1, 5)], .goesOn),
    .init("streams in order", [F.get(1), F.get(3), F.get(5)], .answer(5, 200)),
    .init("streams with gaps", [F.get(1), F.get(101), F.get(1001)], .answer(1001, 200)),
    .init("the highest stream there is", [F.get(0x7FFF_FFFF)], .answer(0x7FFF_FFFF, 200)),
    .init("an even stream", [F.get(2)], .connectionError(.protocolError)),
    .init("a lower stream that was passed over", [F.get(5), F.get(3)], .connectionError(.streamClosed)),
    .init(
      "a stream that depends on itself, in HEADERS", [F.frame(1, flags: 0x25, stream: 1, F.word(1) + [15] + block)],
      .connectionError(.protocolError)),
    .init("a stream that depends on itself, in PRIORITY", [F.priority(1, on: 1)], .goesOn),
    .init("HEADERS with a priority", [F.frame(1, flags: 0x25, stream: 1, F.word(0) + [255] + block)], .answer(1, 200)),
    .init(
      "HEADERS with an exclusive dependency", [F.frame(1, flags: 0x25, stream: 1, F.word(0x8000_0000) + [0] + block)],
      .answer(1, 200)),
    .init(
      "DATA on a stream that nobody opened, between open ones", [F.post(1), F.post(5), F.data(3, "a")],
      .connectionError(.streamClosed)),
  ]

  /// RFC 9113, 6.1 to 6.8: frames of each type, and their sizes.
  static let control: [Conformance] = [
    .init("DATA on stream 0", [F.data(0, "test")], .connectionError(.protocolError)),
    .init(
      "DATA in several frames", [F.post(1), F.data(1, "te"), F.data(1, "st"), F.data(1, "", ends: true)],
      .answer(1, 200)),
    .init(
      "DATA with padding", [F.post(1), F.frame(0, flags: 9, stream: 1, [3] + Array("test".utf8) + [0, 0, 0])],
      .answer(1, 200)),
    .init("DATA that is all padding", [F.post(1), F.frame(0, flags: 9, stream: 1, [3, 0, 0, 0])], .answer(1, 200)),
    .init(
      "DATA with more padding than there is", [F.post(1), F.frame(0, flags: 9, stream: 1, [6] + Array("test".utf8))],
      .connectionError(.protocolError)),
    .init(
      "DATA with padding and no byte", [F.post(1), F.frame(0, flags: 9, stream: 1, [])],
      .connectionError(.frameSizeError)),
    .init("HEADERS on stream 0", [F.get(0)], .connectionError(.protocolError)),
    .init("HEADERS with padding", [F.frame(1, flags: 0x0D, stream: 1, [2] + block + [0, 0])], .answer(1, 200)),
    .init(
      "HEADERS with padding and priority",
      [F.frame(1, flags: 0x2D, stream: 1, [2] + F.word(0) + [9] + block + [0, 0])], .answer(1, 200)),
    .init(
      "HEADERS with more padding than there is", [F.frame(1, flags: 0x0D, stream: 1, [UInt8(block.count + 2)] + block)],
      .connectionError(.protocolError)),
    .init("PRIORITY on stream 0", [F.priority(0)], .connectionError(.protocolError)),
    .init("PRIORITY of 4 bytes", [F.frame(2, stream: 1, [0, 0, 0, 0])], .connectionError(.frameSizeError)),
    .init("PRIORITY of 6 bytes", [F.frame(2, stream: 1, [0, 0, 0, 0, 0, 0])], .connectionError(.frameSizeError)),
    .init("PRIORITY with the lowest weight", [F.priority(1, weight: 0), F.get(1)], .answer(1, 200)),
    .init("PRIORITY with the highest weight", [F.priority(1, weight: 255), F.get(1)], .answer(1, 200)),
    .init("RST_STREAM on stream 0", [F.reset(0)], .connectionError(.protocolError)),
    .init("RST_STREAM of 3 bytes", [F.get(1), F.frame(3, stream: 1, [0, 0, 0])], .connectionError(.frameSizeError)),
    .init(
      "RST_STREAM of 5 bytes", [F.get(1), F.frame(3, stream: 1, [0, 0, 0, 0, 0])], .connectionError(.frameSizeError)),
    .init("RST_STREAM with an unknown code", [F.get(1), F.reset(1, 0xFF)], .goesOn),
    .init("SETTINGS", [F.settings([(1, 4096), (2, 0), (3, 100), (4, 65_535), (5, 16_384), (6, 100)])], .goesOn),
    .init(
      "an acknowledgement with a payload", [F.frame(4, flags: 1, [0, 0, 0, 0, 0, 0])], .connectionError(.frameSizeError)
    ),
    .init("an acknowledgement too many", [F.settingsAcknowledgement], .connectionError(.protocolError)),
    .init("SETTINGS on a stream", [F.frame(4, stream: 1, [])], .connectionError(.protocolError)),
    .init("SETTINGS of 3 bytes", [F.frame(4, [0, 3, 0])], .connectionError(.frameSizeError)),
    .init("ENABLE_PUSH of 2", [F.settings([(2, 2)])], .connectionError(.protocolError)),
    .init("INITIAL_WINDOW_SIZE of 2^31", [F.settings([(4, 0x8000_0000)])], .connectionError(.flowControlError)),
    .init("MAX_FRAME_SIZE of 16383", [F.settings([(5, 16_383)])], .connectionError(.protocolError)),
    .init("MAX_FRAME_SIZE of 2^24", [F.settings([(5, 1 << 24)])], .connectionError(.protocolError)),
    .init("MAX_FRAME_SIZE of 2^24 - 1", [F.settings([(5, (1 << 24) - 1)]), F.get(1)], .answer(1, 200)),
    .init("HEADER_TABLE_SIZE of 0", [F.settings([(1, 0)]), F.get(1)], .answer(1, 200)),
    .init("HEADER_TABLE_SIZE as large as can be", [F.settings([(1, .max)]), F.get(1)], .answer(1, 200)),
    .init("an unknown setting", [F.settings([(0xFF, 1)]), F.get(1)], .answer(1, 200)),
    .init("a setting twice", [F.settings([(4, 100), (4, 1)]), F.get(1)], .goesOn),
    .init("SETTINGS with 33 entries", [F.settings((0..<33).map { _ in (4, 1) })], .connectionError(.enhanceYourCalm)),
    .init("NO_RFC7540_PRIORITIES of 2", [F.settings([(9, 2)])], .connectionError(.protocolError)),
    .init("ENABLE_CONNECT_PROTOCOL from a client", [F.settings([(8, 1)])], .goesOn),
    .init("PING", [F.ping()], .goesOn),
    .init("an answer that nobody asked for", [F.ping(isAnswer: true)], .goesOn),
    .init("PING on a stream", [F.frame(6, stream: 1, [1, 2, 3, 4, 5, 6, 7, 8])], .connectionError(.protocolError)),
    .init("PING of 6 bytes", [F.frame(6, [0, 0, 0, 0, 0, 0])], .connectionError(.frameSizeError)),
    .init("PING of 9 bytes", [F.frame(6, [UInt8](repeating: 0, count: 9))], .connectionError(.frameSizeError)),
    .init("GOAWAY on a stream", [F.goAway(stream: 1)], .connectionError(.protocolError)),
    .init("GOAWAY of 4 bytes", [F.frame(7, [0, 0, 0, 0])], .connectionError(.frameSizeError)),
    .init(
      "PUSH_PROMISE from a client", [F.get(1), F.frame(5, flags: 4, stream: 1, F.word(2) + block)],
      .connectionError(.protocolError)),
    .init("PRIORITY_UPDATE", [F.get(1), F.priorityUpdate(1, "u=1, i")], .answer(1, 200)),
    .init("PRIORITY_UPDATE before its request", [F.priorityUpdate(1, "u=7"), F.get(1)], .answer(1, 200)),
    .init(
      "PRIORITY_UPDATE on a stream", [F.frame(16, stream: 1, F.word(1) + Array("u=1".utf8))],
      .connectionError(.protocolError)),
  ]

  /// RFC 9113, 6.9: windows.
  static let windows: [Conformance] = [
    .init("WINDOW_UPDATE of the connection", [F.windowUpdate(0, 1)], .goesOn),
    .init("WINDOW_UPDATE of 0", [F.windowUpdate(0, 0)], .connectionError(.protocolError)),
    .init("WINDOW_UPDATE of 0 for a stream", [F.post(1), F.windowUpdate(1, 0)], .connectionError(.protocolError)),
    .init("WINDOW_UPDATE of 3 bytes", [F.frame(8, [0, 0, 1])], .connectionError(.frameSizeError)),
    .init("WINDOW_UPDATE of 5 bytes", [F.frame(8, [0, 0, 0, 0, 1])], .connectionError(.frameSizeError)),
    .init(
      "the connection's window beyond 2^31 - 1", [F.windowUpdate(0, 0x7FFF_FFFF), F.windowUpdate(0, 0x7FFF_FFFF)],
      .connectionError(.flowControlError)),
    .init(
      "a stream's window beyond 2^31 - 1", [F.post(1), F.windowUpdate(1, 0x7FFF_FFFF), F.windowUpdate(1, 0x7FFF_FFFF)],
      .connectionError(.flowControlError)),
    .init(
      "a stream's window beyond 2^31 - 1 by SETTINGS",
      [F.post(1), F.windowUpdate(1, 0x7000_0000), F.settings([(4, 0x7FFF_FFFF)])], .connectionError(.flowControlError)),
    .init("a window of 0, then more", [F.settings([(4, 0)]), F.get(1), F.windowUpdate(1, 2)], .answer(1, 200)),
    .init(
      "a window of 1 byte, opened byte by byte", [F.settings([(4, 1)]), F.get(1), F.windowUpdate(1, 1)], .answer(1, 200)
    ),
    .init(
      "a window that becomes larger by SETTINGS",
      [F.settings([(4, 0)]), F.get(1), F.settings([(4, 1)]), F.settings([(4, 3)])], .answer(1, 200)),
    .init(
      "a window that becomes negative and comes back",
      [F.settings([(4, 1)]), F.get(1), F.settings([(4, 0)]), F.windowUpdate(1, 5)], .answer(1, 200)),
    .init(
      "more DATA than the stream's window", [F.post(1)] + (0..<5).map { _ in F.data(1, count: 16_384) },
      .connectionError(.flowControlError)),
  ]

  /// RFC 9113, 6.10: CONTINUATION.
  static let continuations: [Conformance] = [
    .init(
      "HEADERS and CONTINUATION",
      [F.frame(1, flags: 1, stream: 1, Array(block.prefix(5))), F.continuation(1, Array(block.dropFirst(5)))],
      .answer(1, 200)),
    .init(
      "several CONTINUATION",
      [
        F.frame(1, flags: 1, stream: 1, Array(block.prefix(5))), F.continuation(1, Array(block[5..<9]), ends: false),
        F.continuation(1, [], ends: false), F.continuation(1, Array(block.dropFirst(9))),
      ], .answer(1, 200)),
    .init(
      "CONTINUATION, then something else",
      [F.frame(1, flags: 1, stream: 1, block), F.continuation(1, [], ends: false), F.data(1, "a")],
      .connectionError(.protocolError)),
    .init(
      "CONTINUATION on stream 0", [F.frame(1, flags: 1, stream: 1, block), F.continuation(0, [])],
      .connectionError(.protocolError)),
    .init(
      "CONTINUATION behind a complete section", [F.frame(1, flags: 4, stream: 1, block), F.continuation(1, block)],
      .connectionError(.protocolError)),
    .init(
      "CONTINUATION behind a complete CONTINUATION",
      [F.frame(1, flags: 0, stream: 1, block), F.continuation(1, []), F.continuation(1, block)],
      .connectionError(.protocolError)),
    .init(
      "CONTINUATION behind DATA", [F.post(1), F.data(1, "a"), F.continuation(1, block)],
      .connectionError(.protocolError)),
    .init("CONTINUATION behind nothing", [F.continuation(1, block)].reversed(), .connectionError(.protocolError)),
    .init(
      "CONTINUATION of 16385 bytes",
      [F.frame(1, flags: 1, stream: 1, block), F.continuation(1, [UInt8](repeating: 0x82, count: 16_385))],
      .connectionError(.frameSizeError)),
  ]
}
