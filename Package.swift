// swift-tools-version: 6.2
import PackageDescription

// The house: C -> System, Core -> System, both -> App. `Tests/ArchitectureTests` holds the same table
// and fails when a source file imports what its row does not allow.

let common: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableExperimentalFeature("Lifetimes"),
]
// Test macros expand to code that strict memory safety flags, so only sources carry it.
let strict: [SwiftSetting] = common + [.strictMemorySafety()]
// For what an event passes through. A third of the instructions per event went into run-time checks of exclusive
// access. The compiler's own checks stay, and debug builds, which all tests run, keep the run-time ones.
let dataPath: [SwiftSetting] =
  strict + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]
// For what an event or a short stream passes through below the gateway: release builds may make functions of these
// modules part of their callers in other modules, which `package` functions without it never are. A tenth of an event's
// instructions went into such calls. It takes release builds half as long again.
let inlined: [SwiftSetting] =
  dataPath + [.unsafeFlags(["-enable-cmo-everything"], .when(configuration: .release))]
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

func system(_ name: String, _ dependencies: [Target.Dependency], settings: [SwiftSetting] = dataPath) -> Target {
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
    swiftSettings: common)
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

  core("Bytes"),
  core("Time"),
  core("JSON", ["Bytes", "Time"]),
  core("SSE", ["Bytes"]),
  core("HTTP", ["Bytes", "Time"]),
  core("Flags", ["Bytes", "JSON", "Time"], settings: dataPath),
  core("Telemetry", ["Bytes", "Time"]),
  core("Streams", ["Bytes", "Time", "SSE", "JSON", "Flags"]),
  core("Runs", ["Bytes", "Time", "SSE", "Streams"]),

  system("Loop", ["CLibevent", "Bytes", "Time"], settings: inlined),
  system("Sockets", ["Loop", "Bytes", "Time"], settings: inlined),
  system("TLS", ["COpenSSL", "Sockets", "Loop", "Bytes", "Time"], settings: inlined),
  system("HTTP2", ["CNghttp2", "HTTP", "Bytes", "Time"], settings: inlined),
  system("Files", ["Loop", "Time"]),
  system("Processes", ["Time"]),
  system("RedisLog", ["CHiredis", "Bytes", "Time", "JSON", "SSE", "Streams", "Runs", "Loop", "Sockets", "TLS"]),

  app(
    "Configuration",
    [
      "Time", "JSON", "HTTP", "Flags", "Telemetry", "Streams", "Loop", "Sockets", "TLS", "Files", "Processes",
      "RedisLog",
    ]),
  app(
    "Upstreams", ["Configuration", "Bytes", "Time", "HTTP", "Streams", "Loop", "Sockets", "TLS"], settings: inlined),
  app("Logging", ["Bytes", "Files", "JSON", "Telemetry", "Time"], settings: inlined),
  app(
    "FlagControl",
    [
      "Configuration", "Logging", "Bytes", "Time", "JSON", "HTTP", "Flags", "Telemetry", "Streams", "Loop", "Sockets",
      "Files", "Processes", "RedisLog",
    ], settings: dataPath),
  app(
    "Tracing",
    [
      "Configuration", "Upstreams", "Bytes", "Time", "HTTP", "SSE", "Telemetry", "Streams", "Loop", "Sockets",
      "Processes",
    ], settings: inlined),
  app(
    "Gateway",
    [
      "Configuration", "Upstreams", "Logging", "FlagControl", "Tracing", "Bytes", "Time", "JSON", "SSE", "HTTP",
      "Flags", "Telemetry", "Streams", "Runs",
      "Loop",
      "Sockets", "TLS",
      "Files", "Processes", "RedisLog", "HTTP2",
    ], settings: dataPath),
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
  .target(name: "EventSamples", path: "Tests/Support/EventSamples", swiftSettings: common),
  .target(name: "HTTP2Frames", path: "Tests/Support/HTTP2Frames", swiftSettings: common),
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
    path: "Tests/Support/StoreConformance", swiftSettings: common),
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
    exclude: ["command"], swiftSettings: common),
  tests(
    "FermataClientTests",
    ["FermataClient", "FermataClientCore", "FermataClientAdapter", "RunningGateway", "Harness", "Time"]),
]

let running: [Target] = [
  .target(
    name: "RunningGateway", dependencies: ["Harness", "JSON", "Loop", "TLS", "Processes", "Time"],
    path: "Tests/Support/RunningGateway", swiftSettings: common),
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

/// With a sanitizer the units below the gateway are tried (`FERMATA_SANITIZE=units`), or all modules but the program,
/// whose tests start it and wait for clocks (`FERMATA_SANITIZE=all`): to build those takes longer than to run all tests.
let sanitized = Context.environment["FERMATA_SANITIZE"]
let aroundTheProgram: Set = [
  "LoggingTests", "FlagControlTests", "Matrix", "fermata", "MatrixTests", "DemoTests", "FlagsCommandTests",
]
let aboveUnits: Set = aroundTheProgram.union([
  "Configuration", "ConfigurationTests", "Upstreams", "Logging", "FlagControl", "Tracing", "Gateway", "GatewayTests",
  "Operations", "OperationsTests",
])
let leftOut = sanitized == "all" ? aroundTheProgram : aboveUnits
let executables: [Product] = [.executable(name: "fermata", targets: ["fermata"])]

let package = Package(
  name: "fermata",
  // Only the client library says on which Apple systems it runs; all else is for Linux.
  platforms: [.macOS(.v13), .iOS(.v16), .tvOS(.v16), .watchOS(.v9), .visionOS(.v1)],
  products: [.library(name: "FermataClient", targets: ["FermataClient"])] + (sanitized == nil ? executables : []),
  targets: sanitized == nil
    ? sources + testing + clients + running + fuzzers
    : (sources + testing).filter { !leftOut.contains($0.name) },
  swiftLanguageModes: [.v6]
)
