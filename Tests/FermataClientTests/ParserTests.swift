import FermataClientCore
import Foundation
import Testing

/// What an event stream may look like, and what a consumer gets of it: Tests/Clients/formats.json.
private struct StreamFormat: Decodable, CustomTestStringConvertible {
  var name: String
  var text: String?
  /// Instead of `text`, where the bytes are no text.
  var hex: String?
  /// Type, data and last id of each event.
  var events: [[String]]

  static let all: [StreamFormat] = {
    let file = #filePath.replacing("/FermataClientTests/ParserTests.swift", with: "/Clients/formats.json")
    return (try? JSONDecoder().decode([StreamFormat].self, from: Data(contentsOf: URL(fileURLWithPath: file)))) ?? []
  }()

  var testDescription: String { name }

  var bytes: [UInt8] {
    guard let digits = hex.map(Array.init) else { return Array((text ?? "").utf8) }
    return stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0...($0 + 1)]), radix: 16) }
  }
}

struct ParserTests {
  private static let sample = Array(
    "\u{FEFF}: hello\r\nevent: add\r\nid: 1\r\ndata:a\ndata: é☃\r\r\nretry: 20\ndata\n\nid: x\0y\ndata: b\n\nid\n\n"
      .utf8)

  private func parse(_ pieces: [[UInt8]], limit: Int = 1 << 20) -> [EventParser.Item] {
    var parser = EventParser(maximumEventBytes: limit)
    return pieces.flatMap { parser.feed($0) } + parser.finish()
  }

  private func pieces(of bytes: [UInt8], _ size: Int) -> [[UInt8]] {
    stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) }
  }

  private func rows(_ items: [EventParser.Item]) -> [String] {
    items.map { item in
      switch item {
      case .block(let block): "\(block.type)|\(block.data ?? "-")|\(block.id ?? "-")"
      case .comment: "comment"
      case .retry(let milliseconds): "retry \(milliseconds)"
      case .tooLarge: "too large"
      }
    }
  }

  @Test func `fields are read as the standard says`() {
    #expect(rows(parse([Self.sample])) == ["comment", "add|a\né☃|1", "retry 20", "||-", "|b|-", "|-|"])
  }

  @Test(arguments: 1...20) func `the size of the pieces does not matter`(_ size: Int) {
    #expect(parse(pieces(of: Self.sample, size)) == parse([Self.sample]))
  }

  /// The last id stays, and blocks without data are no events.
  private func events(of pieces: [[UInt8]]) -> [[String]] {
    var parser = EventParser(maximumEventBytes: 1 << 20)
    var lastID = ""
    return pieces.flatMap { parser.feed($0) }.compactMap { item in
      guard case .block(let block) = item else { return nil }
      lastID = block.id ?? lastID
      return block.data.map { [block.type.isEmpty ? "message" : block.type, $0, lastID] }
    }
  }

  @Test func `the formats are there`() { #expect(StreamFormat.all.count > 30) }

  @Test(arguments: StreamFormat.all)
  fileprivate
    func `all that event streams may look like is read alike wherever the bytes are cut`(_ format: StreamFormat)
  {
    let bytes = format.bytes
    for place in 0...(bytes.count < 1000 ? bytes.count : 0) {
      #expect(events(of: [Array(bytes[..<place]), Array(bytes[place...])]) == format.events, "cut at \(place)")
    }
    #expect(events(of: pieces(of: bytes, 1)) == format.events)
  }

  @Test func `a mark behind an empty piece is skipped once`() {
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    #expect(rows(parse([[], [0xEF], [], [0xBB, 0xBF], Array("data: a\n\n".utf8), mark])) == ["|a|-"])
  }

  @Test(arguments: ["", "\n", "\r", "\r\n"]) func `a clean end completes the last event`(_ end: String) {
    #expect(rows(parse([Array("data: a\n\ndata: b\(end)".utf8)])) == ["|a|-", "|b|-"])
  }

  @Test func `too large counts all lines and keeps what came before`() {
    let many = "data: a\n\n" + String(repeating: "data: xxxxxxxx\n", count: 100)
    #expect(rows(parse([Array(many.utf8)], limit: 500)) == ["|a|-", "too large"])
    #expect(
      rows(parse([Array(repeating: 0x78, count: 300), Array(repeating: 0x78, count: 300)], limit: 500)) == ["too large"]
    )
  }

  @Test func `comments are not part of an event`() {
    let comment = Array((":" + String(repeating: "x", count: 100) + "\n").utf8)
    #expect(parse(Array(repeating: comment, count: 20), limit: 500).count == 20)
  }

  @Test func `a comment without end is not kept`() {
    let long = ["data: a\n", ": "] + Array(repeating: String(repeating: "x", count: 1000), count: 100)
    let pieces = (long + ["\ndata: b\n\n"]).map { Array($0.utf8) }
    #expect(rows(parse(pieces, limit: 500)) == ["comment", "|a\nb|-"])
  }

  @Test func `a large event in small pieces costs less than ten times one piece`() {
    let event = Array("data: ".utf8) + [UInt8](repeating: 0x78, count: 4 << 20) + Array("\n\n".utf8)
    func time(_ pieces: [[UInt8]]) -> Duration {
      (0..<2).map { _ in ContinuousClock().measure { #expect(parse(pieces, limit: 1 << 30).count == 1) } }.min()
        ?? .zero
    }
    #expect(time(pieces(of: event, 1460)) < time([event]) * 10 + .milliseconds(200))
  }
}
