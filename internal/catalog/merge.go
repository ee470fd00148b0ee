package catalog

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// merger lays the file of one name over a catalogue, and notes what it replaces.
type merger struct {
	file      string
	overrides []Override
}

// keys name the fields that tell the entries of a list apart. Lists that are not named
// here are plain values and are replaced whole.
var keys = map[string][]string{
	"catalogues":      {"id"},
	"evidence":        {"id"},
	"factors":         {"id"},
	"levels":          {"id"},
	"ranges":          {"id"},
	"attackers":       {"id"},
	"perturbations":   {"modality", "norm"},
	"vulnerabilities": {"id"},
	"cells":           {"cell"},
	"goals":           {"id"},
	"defaults":        {"level"},
	"costs":           {"metric"},
}

// nouns are how the entries of a list are called in an override.
var nouns = map[string]string{
	"catalogues": "catalogue", "evidence": "evidence", "factors": "factor", "levels": "level", "ranges": "range",
	"attackers": "attacker", "perturbations": "perturbation", "vulnerabilities": "vulnerability",
	"cells": "cell", "goals": "goal", "defaults": "level", "costs": "cost",
}

// place is where in the catalogue a merge is, and the reason that the file gives there.
type place struct {
	path []string // such as "goal evasion-prevent", "level high", "criterion"
	why  string
}

func (p place) within(name string) place {
	return place{path: append(p.path[:len(p.path):len(p.path)], name), why: p.why}
}

// merge lays a file's mapping over the whole catalogue, which it changes.
func (m *merger) merge(into, layer *yaml.Node) error {
	return m.mapping(into, layer, place{})
}

func (m *merger) mapping(into, layer *yaml.Node, at place) error {
	if why := value(layer, "why"); why != nil && strings.TrimSpace(why.Value) != "" {
		at.why = why.Value
	}
	for i := 0; i+1 < len(layer.Content); i += 2 {
		name, given := layer.Content[i], layer.Content[i+1]
		known := value(into, name.Value)
		if known == nil {
			if err := m.add(name.Value, given, at); err != nil {
				return err
			}
			into.Content = append(into.Content, name, copyOf(given))
			continue
		}
		if err := m.field(name.Value, known, given, at); err != nil {
			return err
		}
	}
	return nil
}

// add checks what the file gives for a field that is not there yet.
func (m *merger) add(name string, given *yaml.Node, at place) error {
	if given.Kind == yaml.SequenceNode {
		if _, err := index(name, given); err != nil {
			return err
		}
	}
	if name == "why" || len(at.path) == 0 {
		return nil
	}
	return m.note(nil, given, at.within(name))
}

// note records what the file says of an entry that was there before.
func (m *merger) note(known, given *yaml.Node, what place) error {
	if what.why == "" {
		return fmt.Errorf("line %d: %s is changed without a reason: add why: to the entry", given.Line, what)
	}
	o := Override{What: what.String(), To: text(given), Reason: what.why, Where: fmt.Sprintf("%s:%d", m.file, given.Line)}
	if known != nil {
		o.From = text(known)
	}
	m.overrides = append(m.overrides, o)
	return nil
}

// field lays what the file gives for a field over what is known.
func (m *merger) field(name string, known, given *yaml.Node, at place) error {
	switch {
	case name == "why":
		*known = *given
	case known.Kind == yaml.MappingNode && given.Kind == yaml.MappingNode:
		return m.mapping(known, given, at.within(name))
	case keys[name] != nil && known.Kind == yaml.SequenceNode && given.Kind == yaml.SequenceNode && keyed(name, known) && keyed(name, given):
		return m.entries(name, known, given, at)
	case !same(known, given):
		if err := m.note(known, given, at.within(name)); err != nil {
			return err
		}
		*known = *copyOf(given)
	}
	return nil
}

// entries lays a list of entries over another: by their keys, new ones at the end.
func (m *merger) entries(name string, known, given *yaml.Node, at place) error {
	there, err := index(name, known)
	if err != nil {
		return err
	}
	if _, err := index(name, given); err != nil {
		return err
	}
	for _, entry := range given.Content {
		id := identity(name, entry)
		old, ok := there[id]
		if !ok {
			if err := m.newEntry(entry, at.within(nouns[name]+" "+id)); err != nil {
				return err
			}
			known.Content = append(known.Content, copyOf(entry))
			continue
		}
		if err := m.mapping(old, entry, at.within(nouns[name]+" "+id)); err != nil {
			return err
		}
	}
	return nil
}

// newEntry checks an entry that the file adds to a list. One of the catalogue's own
// lists, such as a new goal, changes nothing that was there.
func (m *merger) newEntry(entry *yaml.Node, what place) error {
	if len(what.path) == 1 {
		return nil
	}
	if why := value(entry, "why"); why != nil && strings.TrimSpace(why.Value) != "" {
		what.why = why.Value
	}
	return m.note(nil, entry, what)
}

func (p place) String() string { return strings.Join(p.path, ", ") }

// keyed reports whether the entries of a list are told apart by their keys: a goal's
// kinds of evidence, for one, are plain values.
func keyed(name string, list *yaml.Node) bool {
	for _, entry := range list.Content {
		if entry.Kind != yaml.MappingNode {
			return false
		}
	}
	return true
}

// index gives the entries of a list by their identity.
func index(name string, list *yaml.Node) (map[string]*yaml.Node, error) {
	entries := map[string]*yaml.Node{}
	if keys[name] == nil || !keyed(name, list) {
		return entries, nil
	}
	for _, entry := range list.Content {
		id := identity(name, entry)
		if strings.TrimSpace(id) == "" {
			return nil, fmt.Errorf("line %d: a %s lacks its %s", entry.Line, nouns[name], strings.Join(keys[name], " and "))
		}
		if entries[id] != nil {
			return nil, fmt.Errorf("line %d: the %s %s is there twice", entry.Line, nouns[name], id)
		}
		entries[id] = entry
	}
	return entries, nil
}

func identity(name string, entry *yaml.Node) string {
	var parts []string
	for _, key := range keys[name] {
		if v := value(entry, key); v != nil {
			parts = append(parts, v.Value)
		}
	}
	return strings.Join(parts, " ")
}

// same reports whether two nodes say the same.
func same(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Value != b.Value || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !same(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// text writes a node for people.
func text(n *yaml.Node) string {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value
	case yaml.SequenceNode:
		parts := make([]string, len(n.Content))
		for i, child := range n.Content {
			parts[i] = text(child)
		}
		return strings.Join(parts, ", ")
	}
	var parts []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		parts = append(parts, n.Content[i].Value+" "+text(n.Content[i+1]))
	}
	return strings.Join(parts, ", ")
}
