package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// find reads what stands at a path in JSON: numbers, or texts, with one dimension for
// each star on the path and for each array that stands there. An object there is
// numbers by the names of the classes. There may be up to limit values; memory is in
// proportion to these.
func find(body []byte, p path, classes []string, limit int) (answer, error) {
	if !json.Valid(body) {
		err := json.Unmarshal(body, new(json.RawMessage))
		return answer{}, fmt.Errorf("it is not JSON, or nested too deep: %w", err)
	}
	f := &finder{cursor: cursor{data: body}, classes: classes, limit: limit, depth: -1}
	if err := f.follow(p, 0); err != nil {
		if place := f.placeText(); place != "" {
			return answer{}, fmt.Errorf("%s %w", place, err)
		}
		return answer{}, fmt.Errorf("the whole of it %w", err)
	}
	return f.answer, nil
}

// finder reads values into an answer. Errors go with the place where it stands.
type finder struct {
	cursor
	answer
	classes []string
	class   map[string]int // number of each class, once it is needed
	limit   int
	depth   int // of the values: how many arrays they are in; -1 before the first
	place   []step
}

const maxDepth = 16 // dimensions of what is read

func (f *finder) placeText() string {
	var b strings.Builder
	for _, s := range f.place {
		b.WriteString(s.String())
	}
	return strings.TrimPrefix(b.String(), ".")
}

// within goes on with what stands in a step. After an error it stays there.
func (f *finder) within(s step, read func() error) error {
	f.place = append(f.place, s)
	if err := read(); err != nil {
		return err
	}
	f.place = f.place[:len(f.place)-1]
	return nil
}

// follow goes the rest of the path, at a level of so many dimensions.
func (f *finder) follow(p path, level int) error {
	if len(p) == 0 {
		return f.value(level)
	}
	kind := f.next()
	switch s := p[0]; {
	case s.kind == optional && kind != '{':
		return f.follow(p[1:], level)
	case s.kind == member || s.kind == optional:
		return f.member(s, p[1:], level)
	case kind != '[':
		return fmt.Errorf("is %s where the path goes on with %s into an array", f.kindText(), s)
	case s.kind == element:
		return f.element(s, p[1:], level)
	default:
		return f.array(level, func() error { return f.follow(p[1:], level+1) })
	}
}

func (f *finder) member(s step, rest path, level int) error {
	if f.next() != '{' {
		return fmt.Errorf("is %s where the path goes on with %s into an object", f.kindText(), s)
	}
	found := false
	err := f.members(func(name string) error {
		switch {
		case name != s.name:
			f.skip()
			return nil
		case found:
			return fmt.Errorf("has two members %q", name)
		}
		found = true
		return f.within(step{name: name}, func() error { return f.follow(rest, level) })
	})
	if err == nil && !found {
		return fmt.Errorf("has no member %q", s.name)
	}
	return err
}

func (f *finder) element(s step, rest path, level int) error {
	n := 0
	err := f.elements(func() error {
		n++
		if n-1 != s.index {
			f.skip()
			return nil
		}
		return f.within(s, func() error { return f.follow(rest, level) })
	})
	if err == nil && n <= s.index {
		return fmt.Errorf("has %d elements, so none with number %d", n, s.index)
	}
	return err
}

// array reads a dimension.
func (f *finder) array(level int, read func() error) error {
	if level == maxDepth {
		return fmt.Errorf("is nested deeper than %d arrays", maxDepth)
	}
	n := 0
	err := f.elements(func() error {
		if n++; n > f.limit {
			return fmt.Errorf("has more than %d elements, more than were asked for", f.limit)
		}
		return f.within(step{kind: element, index: n - 1}, read)
	})
	if err != nil {
		return err
	}
	return f.dimension(level, n)
}

// dimension notes the size of an array, which all arrays of its level must have.
func (f *finder) dimension(level, n int) error {
	for len(f.shape) <= level {
		f.shape = append(f.shape, -1)
	}
	if known := f.shape[level]; known >= 0 && known != int64(n) {
		return fmt.Errorf("has %d elements where the one before it has %d", n, known)
	}
	f.shape[level] = int64(n)
	return nil
}

// value reads a number or a text, or an array or object of them.
func (f *finder) value(level int) error {
	switch kind := f.next(); kind {
	case '[':
		return f.array(level, func() error { return f.value(level + 1) })
	case '{':
		return f.byClass(level)
	case 'n':
		return errors.New("is null")
	case '"':
		text, err := f.text()
		if err != nil {
			return err
		}
		return f.addText(text, level)
	case 't', 'f':
		return f.addText(string(f.token()), level)
	default:
		v, err := strconv.ParseFloat(string(f.token()), 64)
		if err != nil {
			return errors.New("is a number out of range")
		}
		return f.addNumber(v, level)
	}
}

func (f *finder) addNumber(v float64, level int) error {
	if len(f.texts) > 0 {
		return errors.New("is a number where others are texts")
	}
	f.numbers = append(f.numbers, v)
	return f.added(level)
}

func (f *finder) addText(text string, level int) error {
	if len(f.numbers) > 0 {
		return fmt.Errorf("is the text %q where others are numbers", text)
	}
	f.texts = append(f.texts, text)
	return f.added(level)
}

// added checks that the value just read is in as many arrays as the others, and that
// there are not too many.
func (f *finder) added(level int) error {
	if f.depth >= 0 && f.depth != level {
		return fmt.Errorf("is in %d arrays where others are in %d", level, f.depth)
	}
	f.depth = level
	if n := len(f.numbers) + len(f.texts); n > f.limit {
		return fmt.Errorf("is value number %d, and at most %d were asked for", n, f.limit)
	}
	return nil
}

// byClass reads an object with a number for each class.
func (f *finder) byClass(level int) error {
	if len(f.classes) == 0 {
		return errors.New("is an object: let the path go on to the scores in it, or name the classes if it has a member for each")
	}
	if f.class == nil {
		f.class = map[string]int{}
		for i, name := range f.classes {
			f.class[name] = i
		}
	}
	row, seen := make([]float64, len(f.classes)), make([]bool, len(f.classes))
	err := f.members(func(name string) error {
		i, ok := f.class[name]
		if !ok || seen[i] {
			return fmt.Errorf("has the member %q, which is none of the classes or comes twice", name)
		}
		v, err := strconv.ParseFloat(string(f.token()), 64)
		if err != nil {
			return fmt.Errorf("has no number in range for the class %q", name)
		}
		row[i], seen[i] = v, true
		return nil
	})
	if err != nil {
		return err
	}
	if i := slices.Index(seen, false); i >= 0 {
		return fmt.Errorf("has no number for the class %q", f.classes[i])
	}
	for _, v := range row {
		if err := f.addNumber(v, level+1); err != nil {
			return err
		}
	}
	return f.dimension(level, len(row))
}
