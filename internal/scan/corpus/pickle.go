package corpus

import (
	"fmt"

	"assay/internal/scan"
)

// calls are what pickles call that were used against loaders of models, by module and name.
var calls = [][2]string{
	{"os", "system"}, {"posix", "system"}, {"nt", "system"}, {"subprocess", "Popen"}, {"subprocess", "check_output"}, {"pty", "spawn"}, {"builtins", "eval"}, {"builtins", "exec"},
	{"__builtin__", "eval"}, {"builtins", "__import__"}, {"runpy", "_run_code"}, {"importlib", "import_module"}, {"pip", "main"}, {"timeit", "timeit"}, {"pdb", "run"}, {"cProfile", "run"},
	{"webbrowser", "open"}, {"shutil", "rmtree"}, {"socket", "create_connection"}, {"urllib.request", "urlopen"}, {"ctypes", "CDLL"}, {"marshal", "loads"}, {"pickle", "loads"}, {"asyncio.unix_events", "_UnixSubprocessTransport._start"},
}

// Calls gives pickles that call something by its name, with one text.
func Calls() []Case {
	var out []Case
	for _, c := range calls {
		data := fmt.Appendf(nil, "\x80\x02c%s\n%s\nU\x02hi\x85R.", c[0], c[1])
		out = append(out, Case{"pickle/" + c[0] + "." + c[1], data, scan.Found, "pickle-call", true})
	}
	return out
}
