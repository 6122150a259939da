// swift-tools-version: 6.2
import PackageDescription

// The house: C -> System, Core -> System, both -> App. `Tests/ArchitectureTests` holds the same table
// and fails when a source file imports what its row does not allow.

/// What is built to be tried with a sanitizer: the program, and the tests of what is below the gateway
/// (`FERMATA_PART=program`), or of all modules (`FERMATA_PART=all`: to build those takes as long again); or what threads
/// meet in, for the thread sanitizer (`FERMATA_PART=threads`).
let part = Context.environment["FERMATA_PART"]

let common: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableExperimentalFeature("Lifetimes"),
]
// Test macros expand to code that strict memory safety flags, so only sources carry it.
let strict: [SwiftSetting] = common + [.strictMemorySafety()]
// Where what ships is tried, only that is optimized: to optimize the tests too would take minutes.
let ofTests: [SwiftSetting] = common + [.unsafeFlags(["-Onone"], .when(configuration: .release))]
// Release builds check exclusive access at run time too, but in the modules that name this. Beside each of those stands
// what its checks took where all had them: instructions of an event (legacy: of 5,400; over https or HTTP/2, or kept in
// Redis, where that is said), and of a stream of ten (graceful: of 114,760). In all others it was less than two for a
// thousand. Debug builds check everywhere.
let unchecked: [SwiftSetting] = [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]
// For what an event or a short stream passes through below the gateway: release builds may make functions of these
// modules part of their callers in other modules, which `package` functions without it never are. A tenth of an event's
// instructions went into such calls. It takes release builds half as long again, so the sanitizer's goes without.
let inlined: [SwiftSetting] =
  strict
  + (part == nil ? [.unsafeFlags(["-enable-cmo-everything"], .when(configuration: .release))] : [])
// Two such modules may have the same specialization of the standard library's code: the linker takes the first.
let sharesCode: [LinkerSetting] = [
  .unsafeFlags(["-Xlinker", "-z", "-Xlinker", "muldefs"], .when(platforms: [.linux], configuration: .release))
]

func library(_ name: String, pkgConfig: String? = nil) -> Target {
  .systemLibrary(name: name, path: "Sources/C/\(name)", pkgConfig: pkgConfig)
}

func core(_ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = inlined) -> Target {
  .target(
    name: name, dependencies: dependencies, path: "Sources/Core/\(name)", swiftSettings: settings,
    linkerSettings: sharesCode)
}

func system(_ name: String, _ dependencies: [Target.Dependency], settings: [SwiftSetting] = strict) -> Target {
  .target(name: name, dependencies: dependencies, path: "Sources/System/\(name)", swiftSettings: settings)
}

func app(_ name: String, _ dependencies: [Target.Dependency], settings: [SwiftSetting] = strict) -> Target {
  .target(name: name, dependencies: dependencies, path: "Sources/App/\(name)", swiftSettings: settings)
}

func program(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource]) -> Target {
  .executableTarget(
    name: name, dependencies: dependencies, path: "Sources/App/\(name)",
    exclude: ["Demo/Page/fermata-client/core.js"]
      + ["core", "eventsource", "index", "parser", "react"].map { "Demo/Page/fermata-client/\($0).d.ts" },
    resources: resources, swiftSettings: strict + commit)
}

/// The commit to compile in: packages are built with FERMATA_COMMIT=$(git rev-parse HEAD).
let commit: [SwiftSetting] =
  Context.environment["FERMATA_COMMIT"].map { name in
    [.unsafeFlags(["-Xcc", "-DFERMATA_COMMIT=\"\(name.filter(\.isHexDigit))\""])]
  } ?? []

/// The page of `fermata demo --keep`, and the client library that it uses (a link to its sources).
let demoPage: [Resource] = [
  "index.html", "demo.js", "view.js", "readers.js", "react-global.js", "fermata-client/account.js",
  "fermata-client/clock.js", "fermata-client/eventsource.js", "fermata-client/format.js",
  "fermata-client/framing.js", "fermata-client/index.js", "fermata-client/options.js", "fermata-client/page.js",
  "fermata-client/parser.js", "fermata-client/react.js",
  "fermata-client/request.js", "fermata-client/result.js", "fermata-client/rules.js", "fermata-client/session.js",
  "fermata-client/sorter.js", "fermata-client/store.js", "fermata-client/stream.js",
].map { .embedInCode("Demo/Page/\($0)") }

/// The page of the operators' listener, which has the same client library in it.
let dashboardPage: [Resource] = ["dashboard.html", "dashboard.css", "dashboard.js"].map {
  .embedInCode("Dashboard/Page/\($0)")
}

func tests(
  _ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = [], exclude: [String] = []
) -> Target {
  .testTarget(
    name: name, dependencies: dependencies, path: "Tests/\(name)", exclude: exclude, resources: resources,
    swiftSettings: ofTests)
}

/// A libFuzzer entry point. Linked only where the fuzzer's own `main` is (`FERMATA_FUZZ=1`).
func fuzzer(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(
    name: name, dependencies: dependencies, path: "Tests/Fuzz/\(name)", swiftSettings: common)
}

let sources: [Target] = [
  library("CLibevent", pkgConfig: "libevent"),
  library("COpenSSL", pkgConfig: "openssl"),
  // Without pkg-config: its file carries a flag that SwiftPM prohibits.
  library("CHiredis"),
  library("CNghttp2", pkgConfig: "libnghttp2"),
  // What the build itself says: the commit.
  library("CBuild"),
  // The kernel's own, for the relay that the bench compares with.
  library("CEpoll"),
  // The C library's allocator.
  library("CMalloc"),

  core("Bytes"),
  core("Time"),
  core("JSON", ["Bytes", "Time"]),
  core("SSE", ["Bytes"]),
  core("HTTP", ["Bytes", "Time"]),
  core("Flags", ["Bytes", "JSON", "Time"], settings: strict),
  core("Telemetry", ["Bytes", "Time"], settings: inlined + unchecked),  // 0, 1,772
  core("Streams", ["Bytes", "Time", "SSE", "JSON", "Flags"], settings: inlined + unchecked),  // 628, 8,383
  core("Runs", ["Bytes", "Time", "SSE", "Streams"]),

  system("Loop", ["CLibevent", "Bytes", "Time"], settings: inlined + unchecked),  // 79, 2,672
  system("Sockets", ["Loop", "Bytes", "Time"], settings: inlined + unchecked),  // 778, 3,605
  // 328 over https, 2,127
  system("TLS", ["COpenSSL", "Sockets", "Loop", "Bytes", "Time"], settings: inlined + unchecked),
  // 1,705 over HTTP/2
  system("HTTP2", ["CNghttp2", "HTTP", "Bytes", "Time"], settings: inlined + unchecked),
  system("Files", ["Loop", "Time"]),
  system("Processes", ["CMalloc", "Time"]),
  // 5,333 kept in Redis (of 21,666), 44,290 (of 375,824)
  system(
    "RedisLog", ["CHiredis", "Bytes", "Time", "JSON", "SSE", "Streams", "Runs", "Loop", "Sockets", "TLS"],
    settings: strict + unchecked),

  app(
    "Configuration",
    [
      "Time", "JSON", "HTTP", "Flags", "Telemetry", "Streams", "Loop", "Sockets", "TLS", "Files", "Processes",
      "RedisLog",
    ]),
  // 275, 2,325
  app(
    "Upstreams", ["Configuration", "Bytes", "Time", "HTTP", "Streams", "Loop", "Sockets", "TLS"],
    settings: inlined + unchecked),
  app("Logging", ["Bytes", "Files", "JSON", "Telemetry", "Time"], settings: inlined + unchecked),  // 0, 1,220
  app(
    "FlagControl",
    [
      "Configuration", "Logging", "Bytes", "Time", "JSON", "HTTP", "Flags", "Telemetry", "Streams", "Loop", "Sockets",
      "Files", "Processes", "RedisLog",
    ]),
  app(
    "Tracing",
    [
      "Configuration", "Upstreams", "Bytes", "Time", "HTTP", "SSE", "Telemetry", "Streams", "Loop", "Sockets",
      "Processes",
    ], settings: inlined),
  // 551 (1,781 over HTTP/2), 13,259
  app(
    "Gateway",
    [
      "Configuration", "Upstreams", "Logging", "FlagControl", "Tracing", "Bytes", "Time", "JSON", "SSE", "HTTP",
      "Flags", "Telemetry", "Streams", "Runs",
      "Loop",
      "Sockets", "TLS",
      "Files", "Processes", "RedisLog", "HTTP2",
    ], settings: strict + unchecked),
  app(
    "Operations",
    [
      "Gateway", "Configuration", "Upstreams", "Logging", "FlagControl", "Tracing", "Bytes", "Time", "JSON", "SSE",
      "HTTP", "Flags", "Telemetry", "Streams", "Runs", "Loop", "Sockets", "Files", "Processes",
    ]),
  app("Harness", ["Bytes", "Time", "HTTP", "Loop", "Sockets", "TLS", "HTTP2", "Processes"]),
  // What `fermata matrix` plays and how it judges: pure, but for the harness's scripts, which are values.
  app("Matrix", ["Harness", "Streams", "Flags", "JSON", "Time"]),
  // What users take home: it may depend on nothing of ours, whose C libraries and unsafe flags they can't have. Apart
  // from URLSession, so that `fermata tail` brings no second HTTP client into the gateway's program.
  .target(name: "FermataClientCore", path: "Sources/Clients/Swift/Core", swiftSettings: strict),
  .target(
    name: "FermataClient", dependencies: ["FermataClientCore"], path: "Sources/Clients/Swift/URLSession",
    swiftSettings: strict),
  program(
    "fermata",
    [
      "CBuild", "CEpoll", "Configuration", "FlagControl", "Gateway", "Operations", "Harness", "Flags", "Files", "JSON",
      "Time", "Loop", "Sockets",
      "TLS", "Processes",
      "Bytes", "HTTP", "Streams", "HTTP2",
      "FermataClientCore", "Matrix",
    ], resources: demoPage + dashboardPage),
]

let testing: [Target] = [
  .target(name: "EventSamples", path: "Tests/Support/EventSamples", swiftSettings: ofTests),
  .target(name: "HTTP2Frames", path: "Tests/Support/HTTP2Frames", swiftSettings: ofTests),
  tests("BytesTests", ["Bytes", "JSON", "EventSamples"]),
  tests("TimeTests", ["Time"]),
  tests("SSETests", ["SSE", "Bytes", "EventSamples"]),
  tests("StreamsTests", ["Streams", "SSE", "Bytes", "Time", "JSON", "Flags", "EventSamples"]),
  tests("RunsTests", ["Runs", "Streams", "SSE", "Bytes", "Time"]),
  tests("ArchitectureTests", []),
  tests("HTTPTests", ["HTTP", "Bytes", "Time"]),
  tests("HTTP2Tests", ["HTTP2Frames", "HTTP2", "CNghttp2", "HTTP", "Bytes", "Time"]),
  tests("LoopTests", ["Loop", "Bytes", "Time"]),
  tests("SocketsTests", ["Sockets", "Loop", "Bytes", "Time", "EventSamples"]),
  tests("TLSTests", ["TLS", "Harness", "Sockets", "Loop", "Processes", "Bytes", "Time"]),
  tests("FilesTests", ["Files", "Loop", "Time"]),
  tests("TelemetryTests", ["Telemetry", "Bytes", "Time"]),
  tests("ProcessesTests", ["Processes", "Time"]),
  .target(
    name: "StoreConformance", dependencies: ["Bytes", "Runs", "SSE", "Streams", "Time"],
    path: "Tests/Support/StoreConformance", swiftSettings: ofTests),
  tests(
    "RedisLogTests",
    [
      "RedisLog", "Bytes", "Time", "JSON", "SSE", "Streams", "Runs", "Loop", "Sockets", "TLS", "Processes", "Harness",
      "EventSamples", "StoreConformance",
    ]),
  tests("HarnessTests", ["Harness", "Bytes", "Time", "Loop", "Sockets"]),
  tests("JSONTests", ["JSON", "Time", "EventSamples"]),
  tests(
    "ConfigurationTests",
    ["Configuration", "Flags", "Harness", "HTTP", "JSON", "Loop", "Streams", "TLS", "Telemetry", "Time"]),
  tests("LoggingTests", ["Logging", "Files", "RunningGateway", "Telemetry", "Time"]),
  tests("FlagsTests", ["Flags", "JSON", "Time", "EventSamples"]),
  tests(
    "GatewayTests",
    [
      "Configuration", "Upstreams", "Logging", "FlagControl", "Gateway", "Harness", "TLS", "Bytes", "Flags", "HTTP",
      "JSON", "Loop", "Runs",
      "SSE", "Streams",
      "Telemetry",
      "Time", "StoreConformance", "EventSamples", "HTTP2Frames",
    ]),
  tests("OperationsTests", ["Operations", "Gateway", "EventSamples", "Time"]),
  tests(
    "FlagControlTests",
    [
      "FlagControl", "Configuration", "Logging", "Files", "Flags", "HTTP", "JSON", "Loop", "RunningGateway", "Streams",
      "Telemetry",
      "Time",
    ]),
  tests(
    "MatrixTests", ["fermata", "Matrix", "Files", "Harness", "JSON", "Processes", "Streams", "Time"],
    exclude: ["liar.py"]),
  tests("DemoTests", ["fermata", "Files", "Harness", "Processes", "TLS", "Time"]),
  tests(
    "FlagsCommandTests",
    ["fermata", "Files", "Flags", "Harness", "JSON", "Loop", "Processes", "RunningGateway", "Time"]),
]

let clients: [Target] = [
  .executableTarget(
    name: "FermataClientAdapter", dependencies: ["FermataClient"], path: "Tests/Clients/Adapters/swift",
    exclude: ["command"], swiftSettings: ofTests),
  tests(
    "FermataClientTests",
    ["FermataClient", "FermataClientCore", "FermataClientAdapter", "RunningGateway", "Harness", "Time"]),
]

let running: [Target] = [
  .target(
    name: "RunningGateway", dependencies: ["Harness", "JSON", "Loop", "TLS", "Processes", "Time"],
    path: "Tests/Support/RunningGateway", swiftSettings: ofTests),
  tests(
    "EndToEndTests",
    [
      "RunningGateway", "FermataClientAdapter", "EventSamples", "HTTP2Frames", "Harness", "JSON", "Loop", "Sockets",
      "Streams", "TLS", "Processes", "Time",
    ], exclude: ["Recordings"]),
  tests("RealClientsTests", ["RunningGateway", "Harness", "JSON", "Loop", "Processes", "TLS", "Time"]),
]

let fuzzers: [Target] =
  Context.environment["FERMATA_FUZZ"] == nil
  ? []
  : [
    fuzzer("FuzzEventStream", ["Streams", "SSE", "Bytes", "Time", "EventSamples"]),
    fuzzer("FuzzGate", ["Streams", "SSE", "Bytes"]),
    fuzzer("FuzzRequestHead", ["HTTP", "Bytes"]),
    fuzzer("FuzzResponseHead", ["HTTP", "Bytes"]),
    fuzzer("FuzzChunked", ["HTTP", "Bytes"]),
    fuzzer("FuzzHTTP2", ["HTTP2", "HTTP", "Bytes", "Time"]),
    fuzzer("FuzzProxyHeader", ["Sockets", "Loop", "Bytes"]),
    fuzzer("FuzzFlagFile", ["Flags", "JSON"]),
    fuzzer("FuzzFlagRule", ["Flags", "JSON"]),
    .target(
      name: "FakeRedis", dependencies: ["RedisLog", "Runs", "Bytes", "Loop", "Sockets", "Time"],
      path: "Tests/Support/FakeRedis", swiftSettings: common),
    fuzzer("FuzzRedisAnswers", ["FakeRedis", "RedisLog", "Runs", "Bytes", "Time", "SSE", "Streams", "Loop"]),
    fuzzer("FuzzRunState", ["FakeRedis", "RedisLog", "Runs", "Bytes", "Time", "SSE", "Streams", "Loop"]),
  ]

let ofTheProgram: Set = ["ArchitectureTests", "MatrixTests", "DemoTests", "FlagsCommandTests"]
let ofTheGateway: Set = ["ConfigurationTests", "LoggingTests", "FlagControlTests", "GatewayTests", "OperationsTests"]
let whereThreadsMeet: Set = ["LoopTests", "FilesTests", "TelemetryTests", "ProcessesTests"]

/// The names, and those of all that these targets depend on, at any depth.
func withWhatTheyNeed(_ names: Set<String>, of targets: [Target]) -> Set<String> {
  let needed = targets.filter { names.contains($0.name) }.flatMap(\.dependencies)
  let all = names.union(
    needed.compactMap { dependency in
      if case .byNameItem(let name, _) = dependency { name } else { nil }
    })
  return all == names ? names : withWhatTheyNeed(all, of: targets)
}

let tried =
  switch part {
  case nil: sources + testing + clients + running + fuzzers
  case "program": (sources + testing).filter { !ofTheProgram.union(ofTheGateway).contains($0.name) }
  case "all": (sources + testing + running.filter { $0.type == .regular }).filter { !ofTheProgram.contains($0.name) }
  case "threads":
    (sources + testing).filter { withWhatTheyNeed(whereThreadsMeet, of: sources + testing).contains($0.name) }
  case let other?: fatalError("FERMATA_PART is program, all or threads, not \(other)")
  }
let client: Product = .library(name: "FermataClient", targets: ["FermataClient"])
let program: Product = .executable(name: "fermata", targets: ["fermata"])

let package = Package(
  name: "fermata",
  // Only the client library says on which Apple systems it runs; all else is for Linux.
  platforms: [.macOS(.v13), .iOS(.v16), .tvOS(.v16), .watchOS(.v9), .visionOS(.v1)],
  products: part == "threads" ? [] : [client, program],
  targets: tried,
  swiftLanguageModes: [.v6]
)
