package vnnlib

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Limits of a file, which may be hostile.
const (
	maxBytes       = 64 << 20
	maxDepth       = 64
	maxVariables   = 1 << 20
	maxConstraints = 1 << 20
	maxAtom        = 256 // bytes
)

// Open reads a property from a file.
func Open(path string) (*Property, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxBytes {
		return nil, fmt.Errorf("%s has %d bytes: a property of at most %d is read", path, info.Size(), maxBytes)
	}
	p, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Read reads a property. It fails with a sentence, and the line where there is one, on what
// is no VNN-LIB, on constraints that join inputs with each other or with outputs, on an
// input that is not bounded, and where no input can satisfy the file.
func Read(r io.Reader) (*Property, error) {
	p := &parser{in: bufio.NewReader(io.LimitReader(r, maxBytes+1)), line: 1, declared: map[variable]bool{}}
	for {
		token, err := p.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if token != "(" {
			return nil, p.errorf("%q stands where a command in parentheses is expected", token)
		}
		if err := p.command(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil, p.errorf("the file ends inside of a command")
			}
			return nil, err
		}
	}
	return p.property()
}

// formula is a literal, or a conjunction or disjunction.
type formula struct {
	literal *literal
	or      bool
	parts   []*formula
}

type parser struct {
	in       *bufio.Reader
	read     int64
	line     int
	declared map[variable]bool
	formulas int
	asserted formula
}

func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: %s", p.line, fmt.Sprintf(format, args...))
}

func (p *parser) byte() (byte, error) {
	c, err := p.in.ReadByte()
	if err != nil {
		return 0, err
	}
	if p.read++; p.read > maxBytes {
		return 0, fmt.Errorf("it has more than %d bytes: shorter properties are read", maxBytes)
	}
	if c == '\n' {
		p.line++
	}
	return c, nil
}

// unread takes back the byte read last.
func (p *parser) unread(c byte) {
	_ = p.in.UnreadByte() // a byte was just read: it cannot fail
	p.read--
	if c == '\n' {
		p.line--
	}
}

// next gives a parenthesis or an atom.
func (p *parser) next() (string, error) {
	for {
		c, err := p.byte()
		if err != nil {
			return "", err
		}
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case ';':
			for c != '\n' {
				if c, err = p.byte(); err != nil {
					return "", err
				}
			}
			continue
		case '(', ')':
			return string(c), nil
		}
		return p.atom(c)
	}
}

func (p *parser) atom(c byte) (string, error) {
	var s []byte
	for {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"|`, c) >= 0 {
			return "", p.errorf("the byte %#x has no meaning here", c)
		}
		if s = append(s, c); len(s) > maxAtom {
			return "", p.errorf("a word has more than %d bytes", maxAtom)
		}
		var err error
		if c, err = p.byte(); errors.Is(err, io.EOF) {
			return string(s), nil
		} else if err != nil {
			return "", err
		}
		if strings.IndexByte(" \t\r\n();", c) >= 0 {
			p.unread(c)
			return string(s), nil
		}
	}
}

func (p *parser) expect(want ...string) error {
	for _, w := range want {
		token, err := p.next()
		if err != nil {
			return err
		}
		if token != w {
			return p.errorf("%q stands where %q is expected", token, w)
		}
	}
	return nil
}

func (p *parser) command() error {
	name, err := p.next()
	if err != nil {
		return err
	}
	switch name {
	case "declare-const", "declare-fun":
		token, err := p.next()
		if err != nil {
			return err
		}
		v, ok := named(token)
		if !ok {
			return p.errorf("%q is declared: inputs are X_0, X_1 and so on, outputs Y_0, Y_1 and so on, to %d", token, maxVariables-1)
		}
		if p.declared[v] {
			return p.errorf("%s is declared twice", token)
		}
		p.declared[v] = true
		if name == "declare-fun" {
			if err := p.expect("(", ")"); err != nil {
				return err
			}
		}
		return p.expect("Real", ")")
	case "assert":
		f, err := p.formula(0)
		if err != nil {
			return err
		}
		p.asserted.parts = append(p.asserted.parts, f)
		return p.expect(")")
	}
	return p.errorf("the command %q is not known: declare-const and assert are", name)
}

func named(token string) (variable, bool) {
	kind, digits, found := strings.Cut(token, "_")
	i, err := strconv.Atoi(digits)
	return variable{kind == "Y", i}, found && (kind == "X" || kind == "Y") && err == nil && i >= 0 && i < maxVariables && strconv.Itoa(i) == digits
}

// formula reads (and …), (or …) or a comparison.
func (p *parser) formula(depth int) (*formula, error) {
	if depth > maxDepth {
		return nil, p.errorf("parentheses are more than %d deep", maxDepth)
	}
	if p.formulas++; p.formulas > maxConstraints {
		return nil, p.errorf("there are more than %d constraints: state several properties", maxConstraints)
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	op, err := p.next()
	if err != nil {
		return nil, err
	}
	switch op {
	case "<=", "<", ">=", ">":
		l, err := p.comparison(op, depth)
		return &formula{literal: l}, err
	case "and", "or":
		f := &formula{or: op == "or"}
		for {
			token, err := p.next()
			if err != nil {
				return nil, err
			}
			if token == ")" {
				break
			}
			if token != "(" {
				return nil, p.errorf("%q stands where a constraint in parentheses is expected", token)
			}
			p.unread('(')
			part, err := p.formula(depth + 1)
			if err != nil {
				return nil, err
			}
			f.parts = append(f.parts, part)
		}
		if len(f.parts) == 0 {
			return nil, p.errorf("%q joins nothing", op)
		}
		return f, nil
	}
	return nil, p.errorf("%q is not known in an assertion: and, or, <=, <, >= and > are", op)
}

func (p *parser) comparison(op string, depth int) (*literal, error) {
	line := p.line
	left, err := p.sum(depth)
	if err != nil {
		return nil, err
	}
	right, err := p.sum(depth)
	if err != nil {
		return nil, err
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	if op[0] == '>' {
		left, right = right, left
	}
	left.add(right, -1)
	l := &literal{bound: 0 - left.constant, strict: len(op) == 1, line: line}
	finite := func(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
	fits := len(left.terms) > 0 && finite(l.bound)
	for v, k := range left.terms {
		fits = fits && finite(k)
		l.terms = append(l.terms, term{v, k})
	}
	if !fits {
		return nil, fmt.Errorf("line %d: a constraint is on no variable, or its numbers are too large", line)
	}
	return l, nil
}

// linear is Σ terms + constant.
type linear struct {
	terms    map[variable]float64
	constant float64
}

func (l *linear) add(o linear, factor float64) {
	l.constant += factor * o.constant
	for v, k := range o.terms {
		if l.terms == nil {
			l.terms = map[variable]float64{}
		}
		if l.terms[v] += factor * k; l.terms[v] == 0 {
			delete(l.terms, v)
		}
	}
}

// sum reads a number, a variable, or (+ …), (- …), (* …) of such.
func (p *parser) sum(depth int) (linear, error) {
	if depth > maxDepth {
		return linear{}, p.errorf("parentheses are more than %d deep", maxDepth)
	}
	token, err := p.next()
	if err != nil {
		return linear{}, err
	}
	if token != "(" {
		return p.term(token)
	}
	op, err := p.next()
	if err != nil {
		return linear{}, err
	}
	if !slices.Contains([]string{"+", "-", "*"}, op) {
		return linear{}, p.errorf("%q is not known in a sum: +, - and * are", op)
	}
	var total linear
	for n := 0; ; n++ {
		token, err := p.next()
		if err != nil {
			return linear{}, err
		}
		if token == ")" {
			if n == 0 {
				return linear{}, p.errorf("%q is of nothing", op)
			}
			if op == "-" && n == 1 {
				var negative linear
				negative.add(total, -1)
				total = negative
			}
			return total, nil
		}
		var next linear
		if token == "(" {
			p.unread('(')
			next, err = p.sum(depth + 1)
		} else {
			next, err = p.term(token)
		}
		if err != nil {
			return linear{}, err
		}
		switch {
		case n == 0:
			total = next
		case op == "+":
			total.add(next, 1)
		case op == "-":
			total.add(next, -1)
		default:
			if total, err = p.times(total, next); err != nil {
				return linear{}, err
			}
		}
	}
}

func (p *parser) times(a, b linear) (linear, error) {
	if len(a.terms) > 0 {
		a, b = b, a
	}
	if len(a.terms) > 0 {
		return linear{}, p.errorf("two variables are multiplied: constraints are linear")
	}
	var out linear
	out.add(b, a.constant)
	return out, nil
}

func (p *parser) term(token string) (linear, error) {
	if v, ok := named(token); ok {
		if !p.declared[v] {
			return linear{}, p.errorf("%s is not declared", token)
		}
		return linear{terms: map[variable]float64{v: 1}}, nil
	}
	x, err := strconv.ParseFloat(token, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || strings.ContainsAny(token, "xXpP_") {
		return linear{}, p.errorf("%q is neither a declared variable nor a number", token)
	}
	return linear{constant: x}, nil
}

func (p *parser) property() (*Property, error) {
	inputs, outputs := 0, 0
	for v := range p.declared {
		if v.output {
			outputs++
		} else {
			inputs++
		}
	}
	for v := range p.declared {
		if count := map[bool]int{false: inputs, true: outputs}[v.output]; v.index >= count {
			return nil, errors.New("of the variables some are left out: declare X_0, X_1 and Y_0, Y_1 and so on without gaps")
		}
	}
	if inputs == 0 || outputs == 0 || len(p.asserted.parts) == 0 {
		return nil, errors.New("it declares no input X_0, no output Y_0, or asserts nothing: it is no property")
	}
	all, err := p.asserted.conjunctions()
	if err != nil {
		return nil, err
	}
	return property(inputs, outputs, all)
}
