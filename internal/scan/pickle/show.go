package pickle

import (
	"fmt"
	"strings"
)

// show writes a value as Python would, shortened.
func (j *judge) show(v value) string {
	var out strings.Builder
	j.write(&out, v, 4)
	return out.String()
}

const (
	maxShown = 300 // bytes of a value
	maxTrace = 40  // lines of a call tree
)

func (j *judge) write(out *strings.Builder, v value, depth int) {
	if out.Len() > maxShown || depth == 0 {
		out.WriteString("…")
		return
	}
	switch v.kind() {
	case none:
		out.WriteString("None")
	case integer:
		n, _ := v.int()
		fmt.Fprint(out, n)
	case constant, magic:
		out.WriteString("<number>")
	case text, quoted, escaped:
		s, _ := j.in.text(v)
		out.WriteString(shown(s, 100))
	case blob:
		out.WriteString("b" + shown(string(j.in.raw(v)), 40))
	case opaque:
		out.WriteString("<text>")
	case large:
		fmt.Fprintf(out, "<%d bytes>", int64(j.m.heap.node(v).args))
	case list:
		j.writeAll(out, v, "[", "]", depth)
	case tuple:
		j.writeAll(out, v, "(", ")", depth)
	case set:
		j.writeAll(out, v, "{", "}", depth)
	case dict:
		j.writeAll(out, v, "{", "}", depth)
	case global:
		out.WriteString(shownName(j.imported(v).String()))
	case persistent:
		out.WriteString("<stored data>")
	case object:
		n := j.m.heap.node(v)
		if n.callee == 0 {
			out.WriteString("<object>")
			return
		}
		callee, args := n.callee, n.args
		j.write(out, callee, depth-1)
		if args.kind() == tuple {
			j.writeAll(out, args, "(", ")", depth)
			return
		}
		out.WriteString("(*")
		j.write(out, args, depth-1)
		out.WriteString(")")
	default:
		out.WriteString("<object>")
	}
}

func (j *judge) writeAll(out *strings.Builder, v value, open, closing string, depth int) {
	out.WriteString(open)
	items := j.m.heap.kept(v)
	for i, item := range items {
		switch {
		case i == 0:
		case v.kind() == dict && i%2 == 1:
			out.WriteString(": ")
		default:
			out.WriteString(", ")
		}
		if out.Len() > maxShown {
			out.WriteString("…")
			break
		}
		j.write(out, item, depth-1)
	}
	if int(j.m.heap.node(v).count) > len(items) {
		out.WriteString(", …")
	}
	out.WriteString(closing)
}

// trace writes the calls in a value as a tree, a line each: what is called, where, and
// below it its arguments.
func (j *judge) trace(v value) []string {
	var lines []string
	j.branch(&lines, v, "")
	return lines
}

func (j *judge) branch(lines *[]string, v value, indent string) {
	if len(*lines) >= maxTrace || len(indent) > 24 {
		return
	}
	if v.kind() != object {
		*lines = append(*lines, indent+j.show(v))
		return
	}
	n := *j.m.heap.node(v)
	if n.callee == 0 {
		*lines = append(*lines, fmt.Sprintf("%san object of which nothing is known, at byte %d", indent, n.at))
		return
	}
	if n.callee.kind() == object {
		*lines = append(*lines, fmt.Sprintf("%scall at byte %d of what this gives:", indent, n.at))
		j.branch(lines, n.callee, indent+"  ")
		*lines = append(*lines, indent+"with")
	} else {
		*lines = append(*lines, fmt.Sprintf("%scall at byte %d of %s with", indent, n.at, j.show(n.callee)))
	}
	if n.args.kind() != tuple {
		j.branch(lines, n.args, indent+"  ")
		return
	}
	for _, arg := range j.m.heap.kept(n.args) {
		j.branch(lines, arg, indent+"  ")
	}
}
