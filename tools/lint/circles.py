"""Circles in a graph of names, and those among the includes of a tree."""
import collections


def find_circles(graph):
    """Yields one shortest circle, as a list of nodes, for each set of nodes that all
    reach each other. `graph`: node -> the nodes that it points to."""
    for nodes in strongly_connected(graph):
        if len(nodes) > 1:
            yield shortest_circle(graph, min(nodes), nodes)


def strongly_connected(graph):
    """Tarjan's algorithm, without recursion."""
    index, low, stack, on_stack, result = {}, {}, [], set(), []
    for root in sorted(graph):
        if root in index:
            continue
        work = [(root, iter(sorted(graph[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(sorted(graph.get(target, ())))))
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    nodes = set()
                    while node not in nodes:
                        nodes.add(stack.pop())
                    on_stack -= nodes
                    result.append(nodes)
    return result


def shortest_circle(graph, start, nodes):
    """The fewest steps from `start` back to it, within `nodes`."""
    came_from, queue = {}, collections.deque([start])
    while queue:
        node = queue.popleft()
        for target in sorted(set(graph.get(node, ())) & nodes):
            if target == start:
                path = [node]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if target not in came_from:
                came_from[target] = node
                queue.append(target)
    raise ValueError(f"{start} is in no circle")


def check_circles(sources, drawing):
    """Yields a breach for each circle of folders, drawn or included, and for each
    circle of units: pairs of a header and its source."""
    for circle in find_circles({f: t & set(drawing.edges) for f, t in drawing.edges.items()}):
        line = drawing.lines[circle[0]]
        yield f"{drawing.page}:{line}: circle of drawn edges: {arrows(circle)}"

    folders, units = collections.defaultdict(dict), collections.defaultdict(dict)
    known = {source.unit for source in sources}
    for source in sources:
        for include in source.includes():
            place = f"{source.path}:{include.line}"
            if include.unit in known and include.unit != source.unit:
                units[source.unit].setdefault(include.unit, place)
            if source.is_product and include.unit in known and include.folder != source.folder:
                folders[source.folder].setdefault(include.folder, place)
    for kind, graph in (("folders", folders), ("files", units)):
        for circle in find_circles(graph):
            steps = zip(circle, circle[1:] + circle[:1])
            places = [graph[node][target] for node, target in steps]
            yield f"{places[0]}: circle of {kind}: {arrows(circle)} ({', '.join(places)})"


def arrows(circle):
    return " -> ".join(circle + circle[:1])
