package pickle

import (
	"fmt"
	"strings"

	"assay/internal/scan"
)

// judge decides of what a stream would import, call and change, and reports it.
type judge struct {
	m          *machine
	in         *input
	add        func(scan.Finding)
	globals    []imported
	index      map[string]int
	extensions map[int64]value // of copyreg, as far as the stream itself adds them
	told       map[string]int
	nested     []section // other pickles in bytes, which what was called would load
	copies     [][]byte  // and those whose place is not known
	storages   map[string]storage
	acted      bool // something was called or changed
	tar        bool // it is the object in an archive of tar that PyTorch made
}

// section is a part of the content.
type section struct {
	name           string
	offset, length int64
}

// imported is an object that the stream gets by module and name.
type imported struct {
	module, name string
	entry        entry
	at           int64
	op           string
	used         bool // it was called, and that was judged
}

func (g *imported) String() string {
	if g.name == "" {
		return g.module
	}
	return g.module + "." + g.name
}

func newJudge(in *input, add func(scan.Finding)) *judge {
	return &judge{in: in, add: add, index: map[string]int{}, told: map[string]int{}, extensions: map[int64]value{}, storages: map[string]storage{}}
}

// roots are the values that the judge keeps.
func (j *judge) roots() []value { return nil }

const (
	maxName = 1024 // of a module or name; a longer one is none that could be known
	maxTold = 3    // findings about the same callable
)

const (
	remedyLoad    = "Do not load it. Get the model from a source that you trust, as safetensors or ONNX."
	remedyUnknown = "Ask for the model as safetensors or ONNX, or read the code named here and, if it is harmless, ignore this rule for the file with that reason."
)

// tell reports something about a subject, a few times at most.
func (j *judge) tell(rule string, severity scan.Severity, subject, op, message string, trace []string) {
	if j.told[rule+subject]++; j.told[rule+subject] > maxTold {
		return
	}
	remedy := remedyLoad
	if severity == scan.Unknown {
		remedy = remedyUnknown
	}
	j.add(scan.Finding{Rule: rule, Severity: severity, Place: scan.Place{Offset: j.m.at, Node: op}, Message: message, Remedy: remedy, Trace: trace})
}

// unsure reports what keeps the stream from being decided, and gives an object of which
// nothing is known.
func (j *judge) unsure(rule, subject, op, message string, trace []string) value {
	j.tell(rule, scan.Unknown, subject, op, message, trace)
	return j.m.heap.add(node{kind: object, flags: unsafe, at: j.m.at})
}

// python2 are modules by the names of Python 2, which unpicklers map for protocols before 3
// (CPython's Lib/_compat_pickle.py), and python2Names objects in them.
var (
	python2 = map[string]string{
		"__builtin__": "builtins", "__builtins__": "builtins", "exceptions": "builtins", "copy_reg": "copyreg", "cPickle": "_pickle", "commands": "subprocess",
		"UserDict": "collections", "UserList": "collections", "UserString": "collections", "urllib2": "urllib.request", "httplib": "http.client",
		"SocketServer": "socketserver", "BaseHTTPServer": "http.server", "SimpleHTTPServer": "http.server", "CGIHTTPServer": "http.server", "xmlrpclib": "xmlrpc.client",
		"anydbm": "dbm", "whichdb": "dbm", "dumbdbm": "dbm.dumb", "gdbm": "dbm.gnu", "dbhash": "dbm.bsd", "_abcoll": "collections.abc",
	}
	python2Names = map[string][2]string{
		"builtins xrange": {"builtins", "range"}, "builtins long": {"builtins", "int"}, "builtins unicode": {"builtins", "str"}, "builtins basestring": {"builtins", "str"},
		"builtins unichr": {"builtins", "chr"}, "builtins raw_input": {"builtins", "input"}, "builtins intern": {"sys", "intern"}, "builtins reduce": {"functools", "reduce"},
		"itertools imap": {"builtins", "map"}, "itertools ifilter": {"builtins", "filter"}, "itertools izip": {"builtins", "zip"},
	}
)

// global gives the object of a module and a name, which may be one of a class or submodule.
func (j *judge) global(module, name, op string) value {
	if to, ok := python2[module]; ok {
		module = to
	}
	if to, ok := python2Names[module+" "+name]; ok {
		module, name = to[0], to[1]
	}
	key := module + " " + name
	if i, ok := j.index[key]; ok {
		return make1(global, uint64(i))
	}
	e := find(module, name)
	// Of many, those that are known to do harm are told apart still: nothing hides behind a crowd.
	full := len(j.globals) >= maxGlobals/16 && e.verdict != dangerous && e.verdict != library || len(j.globals) >= maxGlobals
	if len(module) > maxName || len(name) > maxName || full {
		e, module, name = unlisted, cut(module), cut(name)
		if key = "\x00"; j.index[key] > 0 {
			return make1(global, uint64(j.index[key]))
		}
	}
	j.globals = append(j.globals, imported{module: module, name: name, entry: e, at: j.m.at, op: op})
	j.index[key] = len(j.globals) - 1
	return make1(global, uint64(len(j.globals)-1))
}

func cut(s string) string { return s[:min(len(s), maxName)] }

func (j *judge) imported(v value) *imported { return &j.globals[v.payload()] }

// globalOf gives the object of a module and a name that the stream made.
func (j *judge) globalOf(module, name value) value {
	ms, ok1 := j.in.text(module)
	ns, ok2 := j.in.text(name)
	if ok1 && ok2 {
		return j.global(ms, ns, "STACK_GLOBAL")
	}
	j.acted = true
	j.tell("pickle-computed-import", scan.High, "", "STACK_GLOBAL",
		fmt.Sprintf("It imports an object whose name it computes (module %s, name %s), which hides what it is from those who look.", j.show(module), j.show(name)), append(j.trace(module), j.trace(name)...))
	return j.m.heap.add(node{kind: object, flags: unsafe, at: j.m.at})
}

// extension gives what copyreg's registry has under a code.
func (j *judge) extension(code uint32, op string) value {
	if v, ok := j.extensions[int64(code)]; ok {
		return v
	}
	return j.unsure("pickle-extension", fmt.Sprint(code), op, fmt.Sprintf("It uses entry %d of the extension registry of the program that loads it, so what it imports is not in the file.", code), nil)
}

// call judges a call, and gives what is known of its result.
func (j *judge) call(callee, args value, op string) value {
	return j.callWith(callee, args, make1(none, 0), op)
}

func (j *judge) callWith(callee, args, keywords value, op string) value {
	result := j.m.heap.add(node{kind: object, callee: callee, args: args, at: j.m.at})
	switch callee.kind() {
	case global:
		return j.callGlobal(callee, args, keywords, result, op)
	case object:
		return j.callObject(callee, args, result, op)
	case unknown, persistent, opaque:
		return j.unsure("pickle-unknown-call", "", op, "It calls an object of which nothing is known.", j.trace(result))
	}
	return j.unsure("pickle-unknown-call", "", op, fmt.Sprintf("It calls %s, which is no function.", j.show(callee)), j.trace(result))
}

func (j *judge) callGlobal(callee, args, keywords, result value, op string) value {
	g := j.imported(callee)
	g.used = true
	e := g.entry
	switch e.verdict {
	case allowed:
		if e.check == nil {
			return result
		}
		return e.check(j, &called{callee: callee, args: args, keywords: keywords, result: result, op: op})
	case dangerous, library:
		if e.verdict == library && !e.function {
			break
		}
		j.acted = true
		j.tell("pickle-call", e.severity, g.String(), op, fmt.Sprintf("Loading it calls %s: %s.", j.show(result), e.does), j.trace(result))
		if e.check != nil { // what it gives is followed further
			return e.check(j, &called{callee: callee, args: args, keywords: keywords, result: result, op: op})
		}
		j.m.heap.node(result).flags |= unsafe
		return result
	}
	j.acted = true
	j.m.heap.node(result).flags |= unsafe
	j.tell("pickle-unknown-call", scan.Unknown, g.String(), op, fmt.Sprintf("Loading it calls %s, which is not known to be harmless.", j.show(result)), j.trace(result))
	return result
}

// callObject judges the call of what another call gave.
func (j *judge) callObject(callee, args, result value, op string) value {
	n := *j.m.heap.node(callee)
	if n.callee.kind() == global {
		if e := j.imported(n.callee).entry; e.then != nil {
			if v, ok := e.then(j, callee, args, result, op); ok {
				return v
			}
		}
	}
	j.acted = true
	return j.unsure("pickle-unknown-call", j.show(callee), op, fmt.Sprintf("It calls what %s gave, and what that does is not known.", j.show(callee)), j.trace(result))
}

// member gives an attribute of an object.
func (j *judge) member(of value, name, op string) value {
	if of.kind() == global {
		g := j.imported(of)
		g.used = true
		full := name
		if g.name != "" {
			full = g.name + "." + name
		}
		return j.global(g.module, full, op)
	}
	if strings.HasPrefix(name, "__") || strings.Contains(name, ".__") {
		j.acted = true
		j.tell("pickle-attribute", scan.High, name, op, fmt.Sprintf("It reaches into an object for %s, from where any code of the program can be reached.", name), j.trace(of))
		return j.m.heap.add(node{kind: object, flags: unsafe, at: j.m.at})
	}
	return j.unsure("pickle-attribute", name, op, fmt.Sprintf("It gets the attribute %s of %s, and what that is is not known.", shown(name, 60), j.show(of)), nil)
}

// build judges BUILD: __setstate__ of the object is called with the state, or the state
// becomes its attributes.
func (j *judge) build(target, state value) error {
	switch target.kind() {
	case global:
		g := j.imported(target)
		g.used, j.acted = true, true
		j.tell("pickle-patch", scan.Critical, g.String(), "BUILD", fmt.Sprintf("It sets attributes of %s itself, which changes the program that loads it: %s.", g, j.show(state)), j.trace(state))
		return nil
	case object:
		if err := j.state(target, state); err != nil {
			return err
		}
		n := j.m.heap.node(target)
		n.flags |= built
		return nil
	case unknown, persistent, opaque, large:
		j.unsure("pickle-state", "", "BUILD", "It sets the state of an object of which nothing is known.", j.trace(state))
	}
	return nil
}

func (j *judge) state(target, state value) error {
	if state.kind() == global {
		j.handed(state)
	}
	n := *j.m.heap.node(target)
	if n.flags&unsafe == 0 && (state.kind() == dict || state.kind() == tuple) && j.m.heap.node(state).flags&dunderKey != 0 {
		j.acted = true
		severity, what := scan.Unknown, "names with two underscores"
		for _, s := range []value{state, j.item(state, 0), j.item(state, 1)} {
			if name := j.hook(s); name != "" {
				severity, what = scan.High, name
			}
		}
		j.tell("pickle-state", severity, what, "BUILD", fmt.Sprintf("It sets %s of %s, which changes what Python does with the object.", what, j.show(target)), j.trace(state))
	}
	if n.callee.kind() != global {
		return nil
	}
	j.records(j.imported(n.callee), state)
	if e := j.imported(n.callee).entry; e.state != nil {
		return e.state(j, target, state)
	}
	return nil
}

// hook gives a key of a state by which Python would call something.
func (j *judge) hook(state value) string {
	if state.kind() != dict {
		return ""
	}
	for i, v := range j.m.heap.kept(state) {
		if s, ok := j.in.text(v); ok && i%2 == 0 && strings.HasPrefix(s, "__") && s != "__dict__" && s != "__doc__" && s != "__module__" {
			return s
		}
	}
	return ""
}

// handed judges an object that is not called but becomes part of something: a callable of
// which it depends on the arguments what it does may be called there with any.
func (j *judge) handed(v value) {
	if g := j.imported(v); g.entry.verdict == allowed && g.entry.check != nil && !g.entry.value {
		g.used = true
		j.tell("pickle-unknown-import", scan.Unknown, g.String(), "", fmt.Sprintf("It hands %s over to others, and with what arguments it will be called is not known.", g), nil)
	}
}

// extend judges items added to an object that is no list, dict or set of the stream's own.
func (j *judge) extend(target value, op string) {
	switch target.kind() {
	case global:
		g := j.imported(target)
		g.used, j.acted = true, true
		j.tell("pickle-patch", scan.Critical, g.String(), op, fmt.Sprintf("It adds items to %s itself, which changes the program that loads it.", g), nil)
	case unknown, persistent:
		j.unsure("pickle-state", "", op, "It adds items to an object of which nothing is known.", nil)
	}
}

// finish judges what was imported and never called.
func (j *judge) finish() {
	at := j.m.at
	for i := range j.globals {
		g := &j.globals[i]
		if g.used {
			continue
		}
		g.used = true
		j.m.at = g.at
		switch {
		case g.entry.verdict == dangerous:
			j.tell("pickle-import", scan.High, g.String(), g.op, fmt.Sprintf("It refers to %s, which no model needs: %s.", g, g.entry.does), nil)
		case g.entry.verdict != allowed:
			j.tell("pickle-unknown-import", scan.Unknown, g.String(), g.op, fmt.Sprintf("It refers to %s, which is not known to be harmless. Importing it runs the code of its module.", shownName(g.String())), nil)
		case g.entry.check != nil && !g.entry.value:
			j.tell("pickle-unknown-import", scan.Unknown, g.String(), g.op, fmt.Sprintf("It hands %s over to others, and with what arguments it will be called is not known.", g), nil)
		}
	}
	j.m.at = at
}

func shownName(s string) string { q := shown(s, 120); return q[1 : len(q)-1] }

// item gives one of the items of a tuple or list, of those that are kept.
func (j *judge) item(v value, i int) value {
	if !v.isNode() {
		return make1(unknown, 0)
	}
	if items := j.m.heap.kept(v); i < len(items) {
		return items[i]
	}
	return make1(unknown, 0)
}

func (j *judge) items(v value) []value {
	if k := v.kind(); k != tuple && k != list {
		return nil
	}
	return j.m.heap.kept(v)
}
