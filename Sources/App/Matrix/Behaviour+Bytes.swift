import Harness
import Streams
import Time

extension Behaviour {
  /// What the bytes are like.
  static let bytes: [Behaviour] = [
    Behaviour(
      "B16", "an event of 900 KB", why: "Images and tool results come in one event; buffers of 64 KB are not enough.",
      // Some clients need seconds of a processor for it.
      outcome: .completed, visibleEnd: .end, patience: 40
    ) { dialect in
      var play = begun(dialect, tokens: 1)
      play.say([dialect.content(String(repeating: "x", count: 900_000))])
      play.say(dialect.completion)
      play.then(.end)
      return play
    },
    Behaviour(
      "B17", "a slow reader", why: "Who reads slowly must get everything, and hold up the backend, not fill memory.",
      outcome: .completed, visibleEnd: .end,
      route: #"upstreams: "main", stream: { highWater: "64KiB", lowWater: "16KiB" }"#,
      readDelay: 10, needs: [.slow]
    ) { dialect in
      var play = Play()
      play.say(dialect.opening, pause: .zero)
      let piece = String(repeating: "y", count: 32_000)
      play.say((1...60).map { dialect.content("\($0) \(piece)") }, pause: .zero)
      play.say(dialect.completion)
      play.then(.end)
      return play
    },
    Behaviour(
      "B26", "a reader that stops",
      why: "Who takes nothing at all must not hold a backend and memory forever; it is cut, and must see that.",
      outcome: .clientStalled, visibleEnd: .cut, route: #"upstreams: "main", stream: { clientStall: "300ms" }"#,
      stall: 3000, patience: 15, needs: [.stall]
    ) { dialect in
      var play = Play()
      play.say(dialect.opening + [dialect.token(1)], pause: .milliseconds(100))
      // More than the buffers of all kernels on the way hold.
      let piece = String(repeating: "y", count: 32_000)
      play.repeat((1...8).map { dialect.content("\($0) \(piece)") }, times: 100)
      play.say(dialect.completion)
      play.then(.end)
      return play
    },
    Behaviour(
      "B18", "CR, LF, CRLF, a byte order mark, split at every byte",
      why: "The format allows three line ends, and TCP any split.", outcome: .completed, visibleEnd: .end
    ) { dialect in
      var play = Play()
      play.say(dialect.opening, pause: .zero)
      let events = (1...3).map(dialect.token)
      let lines = zip(events, ["\r\n", "\r", "\n"]).map { event, end in
        (event.type == "message" ? "" : "event: \(event.type)\(end)") + "data: \(event.data)\(end)\(end)"
      }
      // The mark is one only where nothing stands before it.
      let mark = dialect.opening.isEmpty ? "\u{FEFF}" : ""
      let text = mark + lines[0] + lines[1] + ": a comment\n" + lines[2]
      play.write(.trickle(Array(text.utf8), piece: 1, interval: .milliseconds(1)), holding: events)
      play.say(dialect.completion)
      play.then(.end)
      return play
    },
    Behaviour(
      "B19", "a page of an origin that is not allowed", why: "Its browser must keep the answer from it.", outcome: nil,
      visibleEnd: .barred, route: #"upstreams: "main", cors: false"#, needs: [.page]
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.say(dialect.completion)
      play.then(.end)
      return play
    },
  ]
}
