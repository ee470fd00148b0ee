package jsontext

import (
	"fmt"
	"slices"
	"strings"

	"assay/internal/scan"
)

// node is what an object says of itself in the way of skops (skops/io/_audit.py): the class
// of Python that it is made into, and how.
type node struct{ class, module, loader string }

// member notes a member of a node.
func (n *node) member(name, value string) {
	switch name {
	case "__class__":
		n.class = value
	case "__module__":
		n.module = value
	case "__loader__":
		n.loader = value
	}
}

// trusted are modules of which skops makes objects of numbers and of estimators.
var trusted = []string{"numpy", "scipy", "sklearn", "lightgbm", "xgboost", "catboost", "quantile_forest"}

// beyond are parts of names in these modules that reach further than numbers.
var beyond = []string{"__", "f2py", "testing", "distutils", "load", "fromfile", "memmap", "ctypes", "externals", "datasets", "fetch"}

// plainTypes are those of Python itself that hold data.
var plainTypes = strings.Fields(`builtins.list builtins.tuple builtins.dict builtins.set builtins.frozenset builtins.str builtins.int builtins.float builtins.bool builtins.bytes builtins.bytearray builtins.complex builtins.slice builtins.type builtins.NoneType
collections.OrderedDict collections.defaultdict datetime.datetime datetime.date datetime.timedelta random.Random`)

// node judges an object that skops would make.
func (j *judge) node(n node) {
	if n.loader == "" || n.module == "" && n.class == "" {
		return
	}
	const remedy = "Do not load it; have the estimator saved anew with classes of scikit-learn alone, and load it with a list of trusted types of one's own."
	name := n.module + "." + n.class
	root, _, _ := strings.Cut(n.module, ".")
	switch {
	case n.loader == "OperatorFuncNode" || n.loader == "MethodNode":
		j.tell("skops-type", scan.High, name, fmt.Sprintf("Loading it takes %s as a function to call, by which other versions of skops run what the file says (CVE-2025-54412, CVE-2025-54413).", name), remedy)
	case slices.Contains(plainTypes, name) || n.loader == "JsonNode" && n.module == "builtins":
	case slices.Contains(trusted, root) && !slices.ContainsFunc(beyond, func(s string) bool { return strings.Contains(name, s) }):
	case slices.Contains([]string{"os", "posix", "nt", "subprocess", "sys", "builtins", "importlib", "runpy", "shutil", "socket", "ctypes", "pickle", "code", "pty"}, root):
		j.tell("skops-type", scan.High, name, fmt.Sprintf("Loading it makes or calls %s.", name), remedy)
	default:
		j.tell("skops-type", scan.Unknown, name, fmt.Sprintf("Loading it makes an object of %.200q, which is not known.", name), remedy)
	}
}
