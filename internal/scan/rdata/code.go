package rdata

import (
	"fmt"
	"slices"
	"strings"

	"assay/internal/scan"
)

// pairs reads a pairlist, a call, a function or a promise: attributes and tag as the flags
// say, then what is first, and the rest, of which a list has many.
func (v *reader) pairs(kind int, attributes, tag bool, p place) object {
	out := object{kind: kind}
	lazy := p.lazy || p.code
	if kind == typeClosure {
		v.tell("r-code", "function", scan.Unknown, "It holds a function of R's, which runs when a method of the model is called.", remedy)
	}
	if kind == typeClosure || kind == typePromise {
		p = place{code: true, name: p.name}
	}
	for node, at := kind, 0; v.err == nil; at++ {
		if attributes {
			v.item(p)
		}
		inner := place{lazy: p.lazy, code: p.code}
		if tag {
			inner.name = v.item(p).text
		}
		car := v.item(inner)
		switch node {
		case typeCall:
			v.call(car.text)
		case typeClosure:
			v.item(p) // the body
			return out
		case typePromise:
			v.item(p) // the expression
			if car.kind == typeUnbound {
				v.promise(p.name, lazy)
			}
			return out
		}
		if car.kind == typeClosure {
			v.hook(inner.name)
		}
		switch {
		case at == 0:
			out.text = car.text
		case kind == typeCall && (out.text == "::" || out.text == ":::") && at == 2:
			out.text = car.text // the function that package::function stands for
		case kind == typeCall && at == 1 && slices.Contains(byName, out.text):
			v.call(car.text)
		}
		// The rest of a list is a list: read here, so that a long one needs no depth.
		flags := v.integer()
		if node = int(flags & 0xff); node == typeNilValue {
			return out
		}
		if node != typePairs && node != typeCall && node != typeDots {
			v.fail("the rest of a list is of type %d", node)
		}
		if v.ctx.Err() != nil {
			v.fail("%w", v.ctx.Err())
		}
		attributes, tag = flags&(1<<9) != 0, flags&(1<<10) != 0
	}
	return out
}

// promise judges a promise that was not evaluated yet by where it is. R writes these only
// within environments, for arguments that nobody looked at; elsewhere one is there to be
// evaluated.
func (v *reader) promise(name string, lazy bool) {
	if lazy {
		v.tell("r-code", "promise", scan.Unknown, "An environment in it holds a promise, whose expression runs when its value is asked for.", remedy)
		return
	}
	v.tell("r-promise", name, scan.Critical, "It holds a promise outside of any environment: the expression in it runs as soon as the object is looked at, or in R before 4.4 as soon as it is loaded (CVE-2024-27322).", "Do not load it; get the data from its source in a format without code.")
}

// reaching are functions of R's own packages that run programs or code from elsewhere, or
// reach files or the network. A model's formula and the call that made it are calls too, of other functions.
var reaching = strings.Fields(`system system2 shell shell.exec pipe source sys.source dyn.load library.dynam download.file url socketConnection
serverSocket make.socket browseURL install.packages file.remove unlink reg.finalizer addTaskCallback assignInNamespace unserialize`)

// byName are functions that find another by its name.
var byName = []string{"do.call", "get", "get0", "match.fun", "getExportedValue", "Recall", "Reduce", "lapply", "sapply"}

// call judges a call by its function.
func (v *reader) call(name string) {
	if slices.Contains(reaching, name) {
		v.tell("r-call", name, scan.High, fmt.Sprintf("It holds a call of %s, which runs code or reaches the system when it is evaluated: no model's formula does.", name), remedy)
	}
}

// function judges a function of R's own that is an object by itself.
func (v *reader) function(name string) {
	if slices.Contains(reaching, name) {
		v.tell("r-call", name, scan.High, fmt.Sprintf("It holds R's own function %.100q, under whatever name it was saved.", name), remedy)
		return
	}
	v.tell("r-code", name, scan.Unknown, fmt.Sprintf("It holds R's own function %.100q.", name), remedy)
}

// hooks are names that R calls by itself, or that users call without a thought.
var hooks = []string{".First", ".Last", ".First.sys", ".onLoad", ".onAttach", ".onUnload", "print", "c", "t", "q", "quit", "summary", "length", "names", "str", "head", "predict", "library", "require", "print.default", "[", "[[", "$", "(", "{", "<-", "=", "+", "if"}

// hook judges a function that load puts into the workspace under a name.
func (v *reader) hook(name string) {
	if v.workspace && v.depth == 1 && slices.Contains(hooks, name) {
		v.tell("r-hook", name, scan.High, fmt.Sprintf("Loading it puts a function %s into the workspace, in the place of R's own or as one that R calls by itself.", name), remedy)
	}
}

// bytecode reads R's bytecode, as ReadBC of serialize.c does.
func (v *reader) bytecode(p place) {
	if n := v.integer(); n < 0 || n > maxSymbols {
		v.fail("bytecode refers to %d expressions", n)
	}
	v.compiled(p)
}

func (v *reader) compiled(p place) {
	if v.depth++; v.depth > maxDepth {
		v.fail("bytecode is nested more than %d deep", maxDepth)
	}
	defer func() { v.depth-- }()
	v.item(p)
	n := v.integer()
	if n < 0 || n > maxSymbols {
		v.fail("bytecode has %d constants", n)
	}
	for range n {
		switch kind := int(v.integer()); {
		case v.err != nil:
			return
		case kind == typeBytecode:
			v.compiled(p)
		case expression(kind):
			v.expression(kind, p)
		default:
			v.item(p)
		}
	}
}

func expression(kind int) bool {
	return slices.Contains([]int{typeCall, typePairs, typeCodeDef, typeCodeRef, typeAttrCall, typeAttrPairs}, kind)
}

// expression reads an expression among the constants of bytecode (ReadBCLang).
func (v *reader) expression(kind int, p place) object {
	if v.depth++; v.depth > maxDepth {
		v.fail("bytecode is nested more than %d deep", maxDepth)
	}
	defer func() { v.depth-- }()
	if v.err != nil {
		return object{}
	}
	if kind == typeCodeRef {
		v.integer()
		return object{}
	}
	if !expression(kind) {
		return v.item(p)
	}
	if kind == typeCodeDef {
		v.integer()
		kind = int(v.integer())
	}
	if kind == typeAttrCall || kind == typeAttrPairs {
		v.item(p)
	}
	v.item(p) // the tag
	first := v.expression(int(v.integer()), p)
	if kind == typeCall || kind == typeAttrCall {
		v.call(first.text)
	}
	v.expression(int(v.integer()), p)
	return object{}
}
