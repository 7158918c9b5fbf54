// Runs a command on the first of several hosts that this machine plays, with a
// slow network between them:
//   virtual_network --nodes=4 --ranks_per_node=2 --latency=1ms --
//       mpirun -np 8 PROGRAM...
// Each host is a network namespace with a TAP device, joined by a switch in
// this process (network_switch.h). Open MPI learns the hosts from its
// environment; this program is its remote shell too (--enter HOST COMMAND...).
//
// Needs root. Everything lives in new namespaces of networks, mounts and
// processes, which end with this program however it ends: no process, interface
// or mount is left. Ends with the command's status, or with 77 and a reason
// where the system does not allow it.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "kernels/core/status_macros.h"
#include "tests/support/network_switch.h"
#include "tests/support/virtual_hosts.h"

ABSL_FLAG(int, nodes, 2, "hosts to play");
ABSL_FLAG(int, ranks_per_node, 1, "slots of each host");
ABSL_FLAG(absl::Duration, latency, absl::ZeroDuration(),
          "one way, between any two hosts");
ABSL_FLAG(double, bytes_per_second, 0,
          "of each host's link, each direction; 0: no limit");
ABSL_FLAG(absl::Duration, frame_time, absl::ZeroDuration(),
          "that each frame takes a link beside its bytes: makes messages dear");
ABSL_FLAG(bool, report, false, "say at the end what the switch has done");

namespace moe {
namespace {

constexpr int kNotPossible = 77;
constexpr char kNetworksVariable[] = "VIRTUAL_NETWORK_DESCRIPTORS";

int Fail(int code, const std::string& what) {
  std::fprintf(stderr, "virtual_network: %s\n", what.c_str());
  return code;
}

int FailSystem(int code, const std::string& what) {
  return Fail(code, absl::StrCat(what, ": ", std::strerror(errno)));
}

[[noreturn]] void Execute(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& text : command) {
    arguments.push_back(const_cast<char*>(text.c_str()));
  }
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  _exit(FailSystem(127, command[0]));
}

// mpirun's remote shell. The networks are descriptors of process 1.
int EnterAndExecute(const std::string& host,
                    const std::vector<std::string>& words) {
  const char* const networks = std::getenv(kNetworksVariable);
  size_t index = 0;
  if (networks == nullptr || host.rfind("node", 0) != 0 ||
      !absl::SimpleAtoi(host.substr(4), &index)) {
    return Fail(2, "--enter: '" + host + "' is no host of a virtual network");
  }
  const std::vector<std::string> numbers = absl::StrSplit(networks, ':');
  if (index >= numbers.size()) {
    return Fail(2, absl::StrCat("--enter: there are hosts node0 to node",
                                numbers.size() - 1, ", not ", host));
  }
  const std::string path = absl::StrCat("/proc/1/fd/", numbers[index]);
  const int network = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (network < 0) return FailSystem(2, path);
  const absl::Status entered = EnterVirtualHost(network, host);
  if (!entered.ok()) return Fail(2, std::string(entered.message()));
  Execute({"/bin/sh", "-c", absl::StrJoin(words, " ")});
}

absl::Status Mount(const char* source, const std::string& target,
                   const char* type, unsigned long flags) {
  if (mount(source, target.c_str(), type, flags, nullptr) == 0) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("mounting ", target, ": ", std::strerror(errno)));
}

// Own /proc, /dev/shm, host names, and a scratch directory in memory.
absl::Status PrepareFiles(const std::string& scratch,
                          const std::vector<VirtualHost>& hosts) {
  RETURN_IF_ERROR(Mount("tmpfs", scratch, "tmpfs", 0));
  RETURN_IF_ERROR(Mount("tmpfs", "/dev/shm", "tmpfs", 0));
  std::ofstream names(scratch + "/hosts"), slots(scratch + "/slots");
  names << "127.0.0.1 localhost\n";
  for (const VirtualHost& host : hosts) {
    names << host.address << " " << host.name << "\n";
    slots << host.name << " slots=" << absl::GetFlag(FLAGS_ranks_per_node)
          << "\n";
  }
  names.close();
  slots.close();
  if (!names || !slots) {
    return absl::InternalError("writing to " + scratch + " failed");
  }
  return Mount((scratch + "/hosts").c_str(), "/etc/hosts", nullptr, MS_BIND);
}

void SetEnvironment(const std::string& scratch,
                    const std::vector<VirtualHost>& hosts) {
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) self[0] = 0;
  const std::pair<std::string, std::string> settings[] = {
      {kNetworksVariable,
       absl::StrJoin(hosts, ":",
                     [](std::string* out, const VirtualHost& host) {
                       absl::StrAppend(out, host.network);
                     })},
      {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
      {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
      {"OMPI_MCA_plm_rsh_agent", absl::StrCat(self, " --enter")},
      // Else the daemons of other hosts would leave their parents.
      {"OMPI_MCA_orte_leave_session_attached", "1"},
      {"OMPI_MCA_plm_rsh_no_tree_spawn", "1"},
      {"OMPI_MCA_orte_default_hostfile", scratch + "/slots"},
      {"OMPI_MCA_orte_tmpdir_base", scratch},
      {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
      {"OMPI_MCA_hwloc_base_binding_policy", "none"},
      {"OMPI_MCA_mpi_yield_when_idle", "1"},
      {"OMPI_MCA_oob_tcp_if_include", "eth0"},
      // Memory in a host, TCP between hosts.
      {"OMPI_MCA_pml", "ob1"},
      {"OMPI_MCA_btl", "self,vader,tcp"},
      {"OMPI_MCA_btl_tcp_if_include", "eth0"},
      // Longer messages first ask whether they may come: two more latencies.
      {"OMPI_MCA_btl_tcp_eager_limit", "1048576"},
      {"OMPI_MCA_btl_tcp_rndv_eager_limit", "1048576"},
      {"ASAN_OPTIONS", "detect_leaks=0"},  // Open MPI leaks
  };
  for (const auto& [name, value] : settings) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  // Or the ranks race to delete it.
  unsetenv("TEST_PREMATURE_EXIT_FILE");
}

int ExitCode(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Process 1 of the new namespaces: when it ends, the kernel ends all others.
int RunInside(const std::string& scratch,
              const std::vector<std::string>& command) {
  if (unshare(CLONE_NEWNS) != 0) {
    return FailSystem(kNotPossible, "a mount namespace");
  }
  absl::Status status =
      Mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE);  // ours alone
  if (status.ok()) status = Mount("proc", "/proc", "proc", 0);
  if (!status.ok()) return Fail(kNotPossible, std::string(status.message()));
  auto hosts = MakeVirtualHosts(absl::GetFlag(FLAGS_nodes));
  if (!hosts.ok()) {
    return Fail(kNotPossible, std::string(hosts.status().message()));
  }
  status = PrepareFiles(scratch, *hosts);
  if (!status.ok()) return Fail(kNotPossible, std::string(status.message()));

  std::vector<int> ports;
  for (const VirtualHost& host : *hosts) ports.push_back(host.tap);
  NetworkSwitch network(ports, {absl::GetFlag(FLAGS_latency),
                                absl::GetFlag(FLAGS_bytes_per_second),
                                absl::GetFlag(FLAGS_frame_time)});
  const pid_t child = fork();  // before there is a second thread
  if (child < 0) return FailSystem(1, "fork");
  if (child == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    SetEnvironment(scratch, *hosts);
    const absl::Status entered =
        EnterVirtualHost(hosts->front().network, hosts->front().name);
    if (!entered.ok()) _exit(Fail(1, std::string(entered.message())));
    Execute(command);
  }
  status = network.Start();
  if (!status.ok()) return Fail(1, std::string(status.message()));
  int code = 1;
  while (true) {
    int ended = 0;
    const pid_t pid = wait(&ended);
    if (pid < 0 && errno != EINTR) break;
    if (pid != child) continue;  // an orphan
    code = ExitCode(ended);
    break;
  }
  if (absl::GetFlag(FLAGS_report)) {
    const NetworkSwitchCounters counters = network.counters();
    std::fprintf(stderr,
                 "virtual_network: %lld frames, %lld bytes, %lld dropped, at "
                 "most %.3f ms late%s\n",
                 static_cast<long long>(counters.frames),
                 static_cast<long long>(counters.bytes),
                 static_cast<long long>(counters.dropped),
                 absl::ToDoubleMilliseconds(counters.latest),
                 network.is_realtime() ? "" : " (without real-time priority)");
  }
  return code;
}

int RunOutside(const std::vector<std::string>& command) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const char* const temporary = std::getenv("TEST_TMPDIR");
  std::string scratch = absl::StrCat(temporary != nullptr ? temporary : "/tmp",
                                     "/virtual_network.XXXXXX");
  if (mkdtemp(scratch.data()) == nullptr) return FailSystem(1, scratch);
  sigset_t waited;
  sigemptyset(&waited);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) {
    sigaddset(&waited, signal);
  }
  sigprocmask(SIG_BLOCK, &waited, nullptr);
  int code = kNotPossible;
  if (unshare(CLONE_NEWPID) != 0) {
    code = FailSystem(kNotPossible, "a process namespace (needs root)");
  } else if (const pid_t child = fork(); child < 0) {
    code = FailSystem(1, "fork");
  } else if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(RunInside(scratch, command));
  } else {
    int status = 0;
    while (waitpid(child, &status, WNOHANG) != child) {
      int signal = 0;
      sigwait(&waited, &signal);
      if (signal != SIGCHLD) kill(child, SIGKILL);
    }
    code = ExitCode(status);
  }
  rmdir(scratch.c_str());
  return code;
}

int Main(int argc, char** argv) {
  const std::vector<std::string> words(argv, argv + argc);
  if (argc >= 4 && words[1] == "--enter") {
    return EnterAndExecute(words[2], {words.begin() + 3, words.end()});
  }
  absl::SetProgramUsageMessage(
      "Runs a command on the first of several hosts that this machine plays:\n"
      "  virtual_network [flags] -- COMMAND...");
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  if (rest.size() < 2) return Fail(2, "no command; see --help");
  return RunOutside({rest.begin() + 1, rest.end()});
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) { return moe::Main(argc, argv); }
