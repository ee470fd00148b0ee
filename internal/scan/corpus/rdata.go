package corpus

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"assay/internal/scan"
)

// r writes R's serialization, in XDR or in ASCII.
type r struct{ ascii bool }

func (r r) int(n int) []byte {
	if r.ascii {
		return fmt.Appendf(nil, "%d\n", n)
	}
	return binary.BigEndian.AppendUint32(nil, uint32(int32(n)))
}

func (r r) raw(s string) []byte {
	if r.ascii {
		return []byte(strings.NewReplacer("\\", `\\`, "\n", `\n`, " ", `\040`).Replace(s) + "\n")
	}
	return []byte(s)
}

func (r r) chars(s string) []byte { return slices.Concat(r.int(9|1<<18), r.int(len(s)), r.raw(s)) }

func (r r) symbol(s string) []byte { return slices.Concat(r.int(1), r.chars(s)) }

func (r r) texts(s ...string) []byte {
	out := slices.Concat(r.int(16), r.int(len(s)))
	for _, t := range s {
		out = append(out, r.chars(t)...)
	}
	return out
}

func (r r) reals(x ...float64) []byte {
	out := slices.Concat(r.int(14), r.int(len(x)))
	for _, v := range x {
		if r.ascii {
			out = fmt.Appendf(out, "%g\n", v)
		} else {
			out = binary.BigEndian.AppendUint64(out, math.Float64bits(v))
		}
	}
	return out
}

func (r r) list(items ...[]byte) []byte {
	return slices.Concat(r.int(19), r.int(len(items)), slices.Concat(items...))
}

func (r r) null() []byte { return r.int(254) }

// named is a pairlist of a symbol and a value.
func (r r) named(name string, value []byte) []byte {
	return slices.Concat(r.int(2|1<<10), r.symbol(name), value, r.null())
}

// with sets attributes of an object: the flags are its first number.
func (r r) with(object, attributes []byte) []byte {
	if r.ascii {
		line, rest, _ := bytes.Cut(object, []byte("\n"))
		var flags int
		if _, err := fmt.Sscan(string(line), &flags); err != nil {
			panic(err)
		}
		return slices.Concat(r.int(flags|1<<9), rest, attributes)
	}
	return slices.Concat(r.int(int(binary.BigEndian.Uint32(object))|1<<9), object[4:], attributes)
}

func (r r) call(function string, args ...[]byte) []byte {
	return r.callOf(r.symbol(function), args...)
}

func (r r) callOf(function []byte, args ...[]byte) []byte {
	out := slices.Concat(r.int(6), function)
	for _, a := range args {
		out = append(append(out, r.int(2)...), a...)
	}
	return append(out, r.null()...)
}

// promise has an expression that was not evaluated.
func (r r) promise(expression []byte) []byte {
	return slices.Concat(r.int(5|1<<10), r.int(253), r.int(252), expression)
}

func (r r) closure(body []byte) []byte {
	return slices.Concat(r.int(3|1<<10), r.int(253), r.null(), body)
}

// environment has one variable.
func (r r) environment(name string, value []byte) []byte {
	return slices.Concat(r.int(4), r.int(0), r.int(253), r.named(name, value), r.null(), r.null())
}

// file is what saveRDS writes before it compresses.
func (r r) file(version int, object []byte) []byte {
	mark := "X\n"
	if r.ascii {
		mark = "A\n"
	}
	out := slices.Concat([]byte(mark), r.int(version), r.int(0x40501), r.int(0x30500))
	if version == 3 {
		out = slices.Concat(out, r.int(5), r.raw("UTF-8"))
	}
	return append(out, object...)
}

// workspace is what save writes.
func (r r) workspace(name string, value []byte) []byte {
	return append([]byte("RDX3\n"), r.file(3, r.named(name, value))...)
}

func gzipped(data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(data)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return out.Bytes()
}

// RData gives files of R's.
func RData() []Case {
	var out []Case
	add := func(want scan.Status, rule, name string, data []byte) {
		out = append(out, Case{"rdata/" + name, data, want, rule, false})
	}
	for _, w := range []r{{}, {ascii: true}} {
		form := map[bool]string{false: "xdr", true: "ascii"}[w.ascii]
		formula := w.with(w.call("~", w.symbol("y"), w.symbol("x")), w.named("class", w.texts("formula")))
		model := w.with(w.list(w.reals(0.5, 1.25), w.call("lm", formula, w.symbol("data"))), w.named("names", w.texts("coefficients", "call")))
		compact := slices.Concat(w.int(238), w.int(2), w.symbol("compact_intseq"), w.int(2), w.symbol("base"), w.int(2), w.int(13), w.int(1), w.int(13), w.null(), w.reals(10, 1, 1), w.null())
		harmless := map[string][]byte{
			"numbers": w.reals(1, 2.5, -3), "texts": w.texts("a", "two words", "line\nline", ""), "list": w.list(w.reals(1), w.null(), w.texts("x")), "model": model,
			"frame":       w.with(w.list(w.reals(1, 2), w.texts("a", "b")), slices.Concat(w.int(2|1<<10), w.symbol("names"), w.texts("x", "y"), w.int(2|1<<10), w.symbol("class"), w.texts("data.frame"), w.null())),
			"environment": w.environment("x", w.reals(1)), "sequence": compact, "nothing": w.null(),
		}
		for name, object := range harmless {
			add(scan.Clean, "", form+"/"+name, w.file(3, object))
			add(scan.Clean, "", form+"/"+name+" of version 2", w.file(2, object))
		}
		evil := w.call("system", w.texts("echo pwned"))
		for name, object := range map[string][]byte{
			"promise": w.promise(evil), "promise of a name": w.promise(w.symbol("x")), "promise in a list": w.list(w.reals(1), w.promise(w.call("print", w.texts("hi")))),
			"promise in an attribute": w.with(w.reals(1), w.named("names", w.promise(w.call("print", w.texts("hi"))))),
		} {
			add(scan.Found, "r-promise", form+"/"+name, w.file(3, object))
		}
		for name, object := range map[string][]byte{
			"call": evil, "call in a list": w.list(evil), "function": w.closure(evil), "function in an environment": w.environment("f", w.closure(w.call("{", w.call("download.file", w.texts("http://example.org/x"))))),
			"promise in an environment": w.environment("f", w.promise(evil)), "call of a package": w.list(w.callOf(w.call("::", w.symbol("base"), w.symbol("system")), w.texts("id"))), "call by name": w.call("do.call", w.texts("system"), w.list(w.texts("id"))), "call in a call": w.call("c", w.call("source", w.texts("x.R"))),
			"call in an attribute": w.with(w.reals(1), w.named("comment", w.call("pipe", w.texts("id")))), "builtin": slices.Concat(w.int(8), w.int(6), w.raw("system")),
		} {
			add(scan.Found, "r-call", form+"/"+name, w.file(3, object))
		}
		bytecode := slices.Concat(w.int(21), w.int(1), w.int(13), w.int(2), w.int(12), w.int(1), w.int(1), w.int(6), w.null(), w.int(1), w.symbol("system"), w.int(254), w.null())
		add(scan.Found, "r-call", form+"/bytecode", w.file(3, bytecode))
		for name, object := range map[string][]byte{
			"a function": w.closure(w.call("+", w.symbol("x"), w.reals(1))), "a promise in an environment": w.environment("x", w.promise(w.symbol("y"))), "R's own function": slices.Concat(w.int(8), w.int(3), w.raw("sum")),
		} {
			add(scan.Undecided, "r-code", form+"/"+name, w.file(3, object))
		}
		for name, object := range map[string][]byte{
			"a pointer": slices.Concat(w.int(22), w.null(), w.null()), "a namespace": slices.Concat(w.int(249), w.int(0), w.int(1), w.chars("evil")), "a persistent object": slices.Concat(w.int(247), w.int(0), w.int(1), w.chars("x")),
			"an object of a class": slices.Concat(w.int(238), w.int(2), w.symbol("mmap_real"), w.int(2), w.symbol("simplemmap"), w.int(2), w.int(13), w.int(1), w.int(14), w.null(), w.texts("/etc/passwd"), w.null()),
		} {
			add(scan.Undecided, "r-reference", form+"/"+name, w.file(3, object))
		}
		whole := w.file(3, model)
		add(scan.Undecided, "r-unread", form+"/cut short", whole[:len(whole)-4])
		add(scan.Undecided, "r-unread", form+"/deep", w.file(3, bytes.Repeat(slices.Concat(w.int(19), w.int(1)), 100_000)))
		add(scan.Undecided, "r-unread", form+"/type", w.file(3, w.int(99)))
		add(scan.Undecided, "r-unread", form+"/reference", w.file(3, w.int(255|9<<8)))
	}
	var w r
	evil := w.call("system", w.texts("echo pwned"))
	add(scan.Clean, "", "workspace", w.workspace("x", w.reals(1, 2)))
	add(scan.Found, "r-promise", "workspace promise", w.workspace("x", w.promise(evil)))
	add(scan.Found, "r-hook", "workspace hook", w.workspace("print", w.closure(w.symbol("x"))))
	add(scan.Found, "r-hook", "workspace first", w.workspace(".First", w.closure(w.symbol("x"))))
	add(scan.Found, "r-personal", "e-mail", w.file(3, w.texts("written by jane.doe@hospital.org")))
	out = append(out,
		Case{"rdata/compressed", gzipped(w.file(3, w.reals(1, 2))), scan.Clean, "", true},
		Case{"rdata/compressed promise", gzipped(w.file(3, w.promise(evil))), scan.Found, "", true},
		Case{"rdata/pickle after", append(w.file(3, w.reals(1)), Pickle()...), scan.Found, "", true})
	return out
}
