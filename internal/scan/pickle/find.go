package pickle

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"assay/internal/scan"
)

// verdict is what is known of an object that a stream may import.
type verdict uint8

const (
	strange   verdict = iota // nothing is known
	allowed                  // harmless, where the entry's check says so of the arguments
	library                  // of Python's own library, and none that a model needs
	dangerous                // it runs code, reaches files or the network, or leads to what does
)

// entry is what is known of an object that a stream may import.
type entry struct {
	verdict  verdict
	severity scan.Severity // of dangerous and library
	does     string        // of these, what calling it does
	function bool          // of library: it is a function and no class
	value    bool          // it is harmless wherever it goes, though its calls are checked

	check func(j *judge, c *called) value                                     // a call; gives the result
	then  func(j *judge, callee, args, result value, op string) (value, bool) // a call of what a call gave
	state func(j *judge, target, state value) error                           // BUILD on what a call gave
}

// called is a call that is to be checked.
type called struct {
	callee, args, keywords, result value
	op                             string
}

var unlisted = entry{verdict: strange}

// parse reads a table: module: name name …, a line each.
func parse(table string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(table) {
		module, names, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		for name := range strings.FieldsSeq(names) {
			out[module+" "+name] = true
		}
	}
	return out
}

var (
	harmless = sync.OnceValue(func() map[string]bool { return parse(harmlessTable) })
	evil     = sync.OnceValue(func() map[string]evilEntry { return parseEvil(dangerousTable) })
	python   = sync.OnceValue(func() map[string]bool {
		out := map[string]bool{}
		for name := range strings.FieldsSeq(libraryModules) {
			out[name] = true
		}
		return out
	})
)

type evilEntry struct {
	severity scan.Severity
	does     string
}

// parseEvil reads the table of what is dangerous: lines of a severity and what it does,
// each followed by lines of module or module:name.
func parseEvil(table string) map[string]evilEntry {
	out := map[string]evilEntry{}
	var current evilEntry
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if severity, does, ok := strings.Cut(line, "! "); ok {
			current = evilEntry{scan.Severity(severity), does}
			continue
		}
		for name := range strings.FieldsSeq(line) {
			out[name] = current
		}
	}
	return out
}

var (
	classLike = regexp.MustCompile(`^_{0,2}[A-Z][A-Za-z0-9_]*$`)
	plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
)

// find gives what is known of an object by its module and name.
func find(module, name string) entry {
	key := module + " " + name
	if e, ok := specials()[key]; ok {
		return e
	}
	if harmless()[key] {
		return entry{verdict: allowed}
	}
	for _, p := range patterns {
		if p.matches(module, name) {
			if p.called {
				return entry{verdict: allowed}
			}
			return entry{verdict: allowed, value: true, check: checkInstance}
		}
	}
	if e, ok := findEvil(module, name); ok {
		return e
	}
	root, _, _ := strings.Cut(module, ".")
	// Modules whose names begin with an underscore are private to Python's library, also
	// those that it does not have yet.
	if python()[root] || strings.HasPrefix(root, "_") && !strings.HasPrefix(root, "__") {
		last := name[strings.LastIndexByte(name, '.')+1:]
		return entry{verdict: library, severity: scan.High, does: "a function of Python's own library that no model needs to be loaded",
			function: !classLike.MatchString(last) || strings.Contains(name, ".")}
	}
	return unlisted
}

func findEvil(module, name string) (entry, bool) {
	table := evil()
	for _, key := range []string{module + ":" + name, module + ":" + strings.Split(name, ".")[0]} {
		if e, ok := table[key]; ok {
			return entry{verdict: dangerous, severity: e.severity, does: e.does}, true
		}
	}
	for m := module; m != ""; m = m[:max(strings.LastIndexByte(m, '.'), 0)] {
		if e, ok := table[m]; ok {
			return entry{verdict: dangerous, severity: e.severity, does: e.does}, true
		}
	}
	// A module among the attributes of another, as in torch.serialization.os.system, and
	// ways from an object into the interpreter.
	for _, part := range strings.Split(name, ".") {
		if slices.Contains(reached, part) {
			e := table[part]
			if e.does == "" {
				e.does = "it leads to Python's own functions"
			}
			return entry{verdict: dangerous, severity: scan.Critical, does: e.does}, true
		}
		if strings.HasPrefix(part, "__") && strings.HasSuffix(part, "__") {
			return entry{verdict: dangerous, severity: scan.Critical, does: "it reaches into Python's own objects, from where any code can be reached"}, true
		}
	}
	return entry{}, false
}

// reached are modules that others import, so that they are among their attributes.
var reached = []string{"os", "sys", "subprocess", "builtins", "importlib", "shutil", "socket", "ctypes", "posix", "nt", "pickle", "_pickle", "runpy", "pty", "marshal"}

// pattern allows the classes of a library's modules: instances that are made without
// running the initialisation hold data.
type pattern struct {
	modules *regexp.Regexp
	except  *regexp.Regexp // of the modules; nil for none
	names   *regexp.Regexp
	called  bool // their initialisation may run too, with any arguments
}

func (p pattern) matches(module, name string) bool {
	return p.names.MatchString(name) && p.modules.MatchString(module) && (p.except == nil || !p.except.MatchString(module))
}

var patterns = []pattern{
	{modules: regexp.MustCompile(`^sklearn\.(base|calibration|cluster|compose|covariance|cross_decomposition|decomposition|discriminant_analysis|dummy|ensemble|feature_extraction|feature_selection|gaussian_process|impute|isotonic|kernel_approximation|kernel_ridge|linear_model|manifold|metrics|mixture|model_selection|multiclass|multioutput|naive_bayes|neighbors|neural_network|pipeline|preprocessing|random_projection|semi_supervised|svm|tree|_loss|utils\._bunch|utils\.deprecation)(\.[a-z_0-9]+)*$`), names: classLike},
	{modules: regexp.MustCompile(`^scipy\.(sparse|spatial|interpolate)(\.[a-z_0-9]+)*$`), names: regexp.MustCompile(`^(c[sd][cr]_(matrix|array)|(coo|bsr|dia|dok|lil)_(matrix|array)|[A-Za-z]*(Spline|Interpolator|interp1d|BSpline)|cKDTree|KDTree)$`)},
	{modules: regexp.MustCompile(`^torch\.nn\.(modules|parameter|quantized|intrinsic)(\.[a-z_0-9]+)*$`), names: classLike},
	// TorchScript's own classes, whose code is beside the pickle; those below torch.classes are of extensions.
	{modules: regexp.MustCompile(`^__torch__(\.[A-Za-z_0-9]+)*$`), except: regexp.MustCompile(`^__torch__\.torch\.classes(\.|$)`), names: classLike},
	{modules: regexp.MustCompile(`^torchvision\.models(\.[a-z_0-9]+)*$`), names: classLike},
	{modules: regexp.MustCompile(`^pandas\.core\.(frame|series|indexes|internals|arrays|dtypes)(\.[a-z_0-9]+)*$`), names: classLike, called: true},
	{modules: regexp.MustCompile(`^(xgboost\.(core|sklearn)|lightgbm\.(basic|sklearn)|catboost\.core)$`), names: classLike},
	{modules: regexp.MustCompile(`^numpy(\.ma\.core|\.ma|\.matrixlib\.defmatrix|\.dtypes)?$`), names: regexp.MustCompile(`^(MaskedArray|MaskedConstant|matrix|[A-Z][A-Za-z0-9]*DType)$`), called: true},
}
