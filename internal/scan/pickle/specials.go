package pickle

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"assay/internal/scan"
)

// specials are callables of which it depends on the arguments what they do, or whose
// result leads on to others.
func specials() map[string]entry {
	specialsOnce.Do(func() { specialsTable = makeSpecials() })
	return specialsTable
}

// These have no initialisers: what they are made of refers to them.
var (
	specialsOnce  sync.Once
	specialsTable map[string]entry
)

func makeSpecials() map[string]entry {
	out := map[string]entry{
		"builtins getattr":                      {verdict: allowed, check: checkGetattr},
		"builtins type":                         {verdict: allowed, value: true, check: checkType},
		"functools partial":                     {verdict: allowed, check: checkPartial, then: thenPartial, state: statePartial},
		"_functools partial":                    {verdict: allowed, check: checkPartial, then: thenPartial, state: statePartial},
		"collections defaultdict":               {verdict: allowed, value: true, check: checkFactory},
		"_codecs encode":                        {verdict: allowed, check: checkEncode},
		"numpy dtype":                           {verdict: allowed, value: true, check: checkResult, state: stateDtype},
		"copyreg __newobj__":                    {verdict: allowed, check: checkNew},
		"copyreg __newobj_ex__":                 {verdict: allowed, check: checkNew},
		"copyreg _reconstructor":                {verdict: allowed, check: checkReconstructor},
		"pandas.core.indexes.base _new_Index":   {verdict: allowed, check: checkNew},
		"torch._utils _rebuild_from_type_v2":    {verdict: allowed, check: checkRebuild},
		"torch._tensor _rebuild_from_type_v2":   {verdict: allowed, check: checkRebuild},
		"torch._tensor _rebuild_from_type":      {verdict: allowed, check: checkRebuild},
		"torch.storage _load_from_bytes":        {verdict: allowed, check: checkNested},
		"joblib.numpy_pickle NumpyArrayWrapper": {verdict: allowed, value: true, state: stateArrayWrapper},
	}
	for _, module := range []string{"numpy.core", "numpy._core", "numpy.core._multiarray_umath", "numpy._core._multiarray_umath"} {
		out[module+" _ufunc_reconstruct"] = entry{verdict: allowed, check: checkNamed}
	}
	// These are dangerous whatever they are called with, and what they give is followed on.
	for key, follow := range map[string]entry{
		"operator attrgetter":     {then: thenAttrgetter},
		"operator methodcaller":   {then: thenMethodcaller},
		"_operator attrgetter":    {then: thenAttrgetter},
		"_operator methodcaller":  {then: thenMethodcaller},
		"builtins __import__":     {check: checkModule},
		"importlib import_module": {check: checkModule},
		"importlib __import__":    {check: checkModule},
		"pkgutil resolve_name":    {check: checkResolve},
		"pydoc locate":            {check: checkResolve},
		"copyreg add_extension":   {check: checkExtension},
		"builtins apply":          {check: checkApply},
		"operator call":           {check: checkApply},
		"_operator call":          {check: checkApply},
	} {
		module, name, _ := strings.Cut(key, " ")
		e, _ := findEvil(module, name)
		e.check, e.then = follow.check, follow.then
		out[key] = e
	}
	return out
}

func checkResult(_ *judge, c *called) value { return c.result }

// checkInstance allows classes whose instances are made without arguments, as picklers do:
// with arguments their initialisation may read files.
func checkInstance(j *judge, c *called) value {
	if c.op == "NEWOBJ" || c.op == "NEWOBJ_EX" || j.count(c.args) == 0 {
		return c.result
	}
	j.m.heap.node(c.result).flags |= unsafe
	j.tell("pickle-unknown-call", scan.Unknown, j.show(c.callee), c.op, fmt.Sprintf("Loading it calls %s, and what that class does with arguments is not known.", j.show(c.result)), j.trace(c.result))
	return c.result
}

// checkGetattr follows getattr(object, name).
func checkGetattr(j *judge, c *called) value {
	name, ok := j.in.text(j.item(c.args, 1))
	if !ok {
		j.acted = true
		return j.unsure("pickle-attribute", "", c.op, "It gets an attribute whose name it computes.", j.trace(c.result))
	}
	return j.member(j.item(c.args, 0), name, c.op)
}

// checkType allows type(object), and not the form that makes a class.
func checkType(j *judge, c *called) value {
	if j.count(c.args) == 1 {
		return c.result
	}
	j.acted = true
	j.tell("pickle-call", scan.High, "builtins.type", c.op, fmt.Sprintf("Loading it calls %s: it makes a class with methods of the file's choice.", j.show(c.result)), j.trace(c.result))
	j.m.heap.node(c.result).flags |= unsafe
	return c.result
}

// harmlessValue reports whether a callable may be handed to others, which call it with
// arguments that are not known here.
func (j *judge) harmlessValue(v value) bool {
	if v.kind() != global {
		return v.kind() == none || v.kind() == object && j.isPartial(v)
	}
	g := j.imported(v)
	return g.entry.verdict == allowed && (g.entry.check == nil || g.entry.value)
}

func (j *judge) isPartial(v value) bool {
	n := j.m.heap.node(v)
	return n.flags&unsafe == 0 && n.callee.kind() == global && strings.HasSuffix(j.imported(n.callee).String(), "functools.partial")
}

// checkPartial allows functools.partial of what is harmless with any arguments.
func checkPartial(j *judge, c *called) value {
	f := j.item(c.args, 0)
	if c.op == "NEWOBJ" && j.m.heap.node(c.result).args.kind() == tuple && j.count(c.args) == 0 || j.harmlessValue(f) {
		return c.result
	}
	j.unsure("pickle-partial", j.show(f), c.op, fmt.Sprintf("It makes a function that calls %s, and with what is not known.", j.show(f)), j.trace(c.result))
	return c.result // and is followed on where the stream calls it
}

func (j *judge) count(v value) int {
	if !v.isNode() {
		return -1
	}
	return int(j.m.heap.node(v).count)
}

// thenPartial follows the call of a functools.partial.
func thenPartial(j *judge, callee, args, _ value, op string) (value, bool) {
	own := j.m.heap.node(callee).args
	items := j.items(own)
	if len(items) == 0 {
		return 0, false
	}
	if own.kind() == tuple && j.m.heap.node(callee).flags&built != 0 && len(items) >= 2 { // (func, args, keywords, dict)
		return j.call(items[0], j.join(j.items(items[1]), j.items(args)), op), true
	}
	return j.call(items[0], j.join(items[1:], j.items(args)), op), true
}

func (j *judge) join(a, b []value) value {
	return j.m.container(tuple, slices.Concat(a, b), mostItems)
}

// statePartial takes over what a state makes of a functools.partial: (func, args, keywords, dict).
func statePartial(j *judge, target, state value) error {
	f := j.item(state, 0)
	if !j.harmlessValue(f) {
		j.unsure("pickle-partial", j.show(f), "BUILD", fmt.Sprintf("It makes a function that calls %s, and with what is not known.", j.show(f)), j.trace(state))
	}
	j.m.heap.node(target).args = state
	return nil
}

// checkFactory allows collections.defaultdict with a class that holds data.
func checkFactory(j *judge, c *called) value {
	if f := j.item(c.args, 0); j.count(c.args) > 0 && !j.harmlessValue(f) {
		return j.unsure("pickle-partial", j.show(f), c.op, fmt.Sprintf("It makes a dictionary that calls %s for keys that it does not have.", j.show(f)), j.trace(c.result))
	}
	return c.result
}

// checkEncode allows _codecs.encode as old protocols use it for bytes.
func checkEncode(j *judge, c *called) value {
	encoding, ok := j.in.text(j.item(c.args, 1))
	if ok && slices.Contains([]string{"latin1", "latin-1", "utf-8", "utf8", "ascii"}, encoding) {
		return make1(opaque, 0)
	}
	return j.unsure("pickle-unknown-call", "_codecs.encode", c.op, fmt.Sprintf("Loading it calls %s, and what that gives is not known.", j.show(c.result)), j.trace(c.result))
}

// checkNew follows calls that make an instance of their first argument.
func checkNew(j *judge, c *called) value {
	return j.call(j.item(c.args, 0), j.join(nil, j.rest(c.args)), c.op)
}

func (j *judge) rest(args value) []value {
	items := j.items(args)
	if len(items) == 0 {
		return nil
	}
	return slices.Clone(items[1:])
}

// checkReconstructor follows copyreg._reconstructor(class, base, state), which makes an
// instance without its initialisation.
func checkReconstructor(j *judge, c *called) value {
	if base := j.item(c.args, 1); !j.harmlessValue(base) {
		j.unsure("pickle-unknown-call", j.show(base), c.op, fmt.Sprintf("It makes an instance on the base of %s, which is not known to be harmless.", j.show(base)), j.trace(c.result))
	}
	return j.call(j.item(c.args, 0), j.join(nil, nil), c.op)
}

// checkRebuild follows torch's _rebuild_from_type(_v2)(func, type, args, state), which calls
// func with args.
func checkRebuild(j *judge, c *called) value {
	if kind := j.item(c.args, 1); !j.harmlessValue(kind) {
		j.unsure("pickle-unknown-call", j.show(kind), c.op, fmt.Sprintf("It makes an instance of %s, which is not known to be harmless.", j.show(kind)), j.trace(c.result))
	}
	args := j.item(c.args, 2)
	if args.kind() != tuple {
		args = j.join(nil, nil)
	}
	result := j.call(j.item(c.args, 0), args, c.op)
	if state := j.item(c.args, 3); result.kind() == object && state.isNode() {
		if err := j.build(result, state); err != nil {
			return j.unsure("pickle-state", "", c.op, "It sets a state that could not be followed.", nil)
		}
	}
	return result
}

// checkNested has bytes that are loaded as a file of their own scanned as one.
func checkNested(j *judge, c *called) value {
	v := j.item(c.args, 0)
	switch {
	case v.kind() == large:
		n := j.m.heap.node(v)
		j.nested = append(j.nested, section{"bytes given to " + j.show(c.callee), n.at, int64(n.args)})
	case v.kind() == blob && j.in.at != nil:
		offset, length := j.in.span(v)
		j.nested = append(j.nested, section{"bytes given to " + j.show(c.callee), offset, length})
	case v.kind() == blob: // the content is read forwards: where the bytes are is not known any more, but they are
		j.copies = append(j.copies, slices.Clone(j.in.raw(v)))
	default:
		return j.unsure("pickle-unknown-call", j.show(c.callee), c.op, fmt.Sprintf("Loading it calls %s on bytes that are not in the file as such, and could not be followed.", j.show(c.callee)), j.trace(c.result))
	}
	if len(j.nested)+len(j.copies) > 1000 {
		j.nested, j.copies = nil, nil
		return j.unsure("pickle-unknown-call", j.show(c.callee), c.op, "It loads more than 1000 files within the file.", nil)
	}
	return c.result
}

var ufuncName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// checkNamed follows numpy's _ufunc_reconstruct(module, name), which imports what is named.
func checkNamed(j *judge, c *called) value {
	module, ok1 := j.in.text(j.item(c.args, 0))
	name, ok2 := j.in.text(j.item(c.args, 1))
	if !ok1 || !ok2 {
		return j.globalOf(j.item(c.args, 0), j.item(c.args, 1))
	}
	root, _, _ := strings.Cut(module, ".")
	if _, bad := findEvil(module, name); !bad && (root == "numpy" && !strings.Contains(module, ".") || module == "scipy.special._ufuncs") && ufuncName.MatchString(name) {
		return c.result
	}
	return j.global(module, name, c.op)
}

// The following are reported as dangerous already: what they give is worth following for
// what it says of the purpose.

func checkModule(j *judge, c *called) value {
	if name, ok := j.in.text(j.item(c.args, 0)); ok {
		return j.quiet(name, "", c.op)
	}
	return c.result
}

func checkResolve(j *judge, c *called) value {
	path, ok := j.in.text(j.item(c.args, 0))
	if !ok {
		return c.result
	}
	module, name, ok := strings.Cut(path, ":")
	if !ok {
		if i := strings.LastIndexByte(path, '.'); i > 0 {
			module, name = path[:i], path[i+1:]
		}
	}
	return j.quiet(module, name, c.op)
}

// quiet gives an object of which nothing is said unless it is called.
func (j *judge) quiet(module, name, op string) value {
	v := j.global(module, name, op)
	j.imported(v).used = true
	return v
}

func checkExtension(j *judge, c *called) value {
	module, ok1 := j.in.text(j.item(c.args, 0))
	name, ok2 := j.in.text(j.item(c.args, 1))
	if code, ok := j.item(c.args, 2).int(); ok && ok1 && ok2 && len(j.extensions) < 1000 {
		j.extensions[code] = j.global(module, name, c.op)
	}
	return c.result
}

func checkApply(j *judge, c *called) value {
	if j.show(c.callee) == "builtins.apply" {
		return j.call(j.item(c.args, 0), j.item(c.args, 1), c.op)
	}
	return j.call(j.item(c.args, 0), j.join(nil, j.rest(c.args)), c.op)
}

func thenAttrgetter(j *judge, callee, args, _ value, op string) (value, bool) {
	name, ok := j.in.text(j.item(j.m.heap.node(callee).args, 0))
	if !ok {
		return 0, false
	}
	return j.member(j.item(args, 0), name, op), true
}

func thenMethodcaller(j *judge, callee, args, _ value, op string) (value, bool) {
	own := j.m.heap.node(callee).args
	name, ok := j.in.text(j.item(own, 0))
	if !ok {
		return 0, false
	}
	return j.call(j.member(j.item(args, 0), name, op), j.join(nil, j.rest(own)), op), true
}
