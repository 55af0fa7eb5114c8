"""Results as graphs: tables, matrices and networks of pairs."""

from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
import scipy.sparse.csgraph

import geodask as gd
from geodask.ops.neighbours import KnnResult

NAMES = [f"row {i:03d}" for i in range(101)]


@pytest.fixture(params=[None, NAMES, list(range(1000, 1101))], ids=["no ids", "text", "numbers"])
def x(request: pytest.FixtureRequest) -> gd.Points:
    values = gd.Sphere(4).random(101, seed=0)
    values[3] = values[2]
    return gd.points(values, gd.Sphere(4), ids=request.param)


@pytest.fixture(params=["compute", "persist"])
def result(request: pytest.FixtureRequest, x: gd.Points, store: Path) -> KnnResult:
    return getattr(gd.knn(x, k=3), request.param)()


def pairs(result: KnnResult) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    indices, distances = (np.asarray(each) for each in (result.indices, result.distances))
    return np.repeat(np.arange(101), 3), indices.ravel(), distances.ravel()


def test_tables_hold_every_pair_in_order(result: KnnResult, x: gd.Points, store: Path) -> None:
    table = result.to_dataframe()
    rows, others, distances = pairs(result)
    found = table.compute()
    assert (found["row"] == rows).all()
    assert (found["other"] == others).all()
    assert (found["distance"] == distances).all()
    assert list(table.dtypes) == list(found.dtypes)
    named = [] if x.ids is None else ["row_id", "other_id"]
    assert list(table.columns) == ["row", "other", "distance", *named]
    for name, numbers in zip(named, (rows, others), strict=False):
        assert found[name].tolist() == x.ids.take(numbers).tolist()


def test_tables_have_a_partition_a_part(x: gd.Points, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodask.ops.neighbours.PART_PAIRS", 60)
    result = gd.knn(x, k=3).compute()
    assert result.to_dataframe().npartitions == 6
    assert [len(part.row) for part in result.edges()] == [60] * 5 + [3]


def test_tables_travel_through_parquet(result: KnnResult, tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    result.to_parquet(folder)
    expected = result.to_dataframe().compute().reset_index(drop=True)
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder, dtype_backend="numpy_nullable").astype(expected.dtypes), expected
    )
    with pytest.raises(gd.StoreError, match="must be empty"):
        result.to_parquet(str(folder))
    result.to_parquet(folder, overwrite=True)
    assert len(pd.read_parquet(folder)) == len(expected)


def test_a_matrix_keeps_the_zeros_of_equal_rows(result: KnnResult) -> None:
    rows, others, distances = pairs(result)
    matrix = result.to_csr()
    assert matrix.shape == (101, 101)
    assert (matrix.indptr == 3 * np.arange(102)).all()
    assert (matrix.indices == others).all()
    assert (matrix.data == distances).all()
    assert matrix.nnz == 303
    assert not distances[rows == 2].all()


def test_networks_have_names_and_directions(result: KnnResult, x: gd.Points) -> None:
    network = result.to_networkx()
    names = list(range(101)) if x.ids is None else list(x.ids)
    rows, others, distances = pairs(result)
    assert list(network.nodes) == names
    assert network.is_directed()
    assert network.number_of_edges() == 303
    for row, other, distance in zip(rows, others, distances, strict=True):
        assert network[names[row]][names[other]]["distance"] == distance


def test_rows_of_two_sets_are_two_kinds_of_nodes(x: gd.Points) -> None:
    y = gd.points(gd.Sphere(4).random(7, seed=1), gd.Sphere(4))
    result = gd.knn(x, y, k=2).compute()
    network = result.to_networkx()
    assert network.number_of_nodes() == 108
    assert not network.is_directed()
    assert [node for node in network if node[0] == "y"] == [("y", i) for i in range(7)]
    assert result.to_csr().shape == (101, 7)
    table = result.to_dataframe()
    assert ("row_id" in table.columns) == (x.ids is not None)
    assert "other_id" not in table.columns


def test_no_rows_give_empty_tables() -> None:
    x = gd.points(np.zeros((0, 4)), gd.Sphere(4))
    y = gd.points(gd.Sphere(4).random(7, seed=1), gd.Sphere(4))
    result = gd.knn(x, y, k=2).compute()
    assert len(result.to_dataframe().compute()) == 0
    assert result.to_csr().shape == (0, 7)


def test_tables_are_lazy(x: gd.Points) -> None:
    result = gd.knn(x, k=3).persist()
    with dask.config.set(scheduler=lambda *_, **__: pytest.fail("something was computed")):
        result.to_dataframe()


# --- components -----------------------------------------------------------------------------------


def same_components(count: int, labels: np.ndarray, matrix: object) -> None:
    expected, of = scipy.sparse.csgraph.connected_components(matrix, directed=False)
    assert count == expected
    first = [int(np.flatnonzero(labels == label)[0]) for label in range(count)]
    assert first == sorted(first)
    assert len(np.unique(np.stack([labels, of]), axis=1).T) == count


@pytest.mark.parametrize("density", [0, 0.003, 0.02, 0.5])
def test_components_of_a_matrix_are_those_of_scipy(
    density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geodask.ops.components.PART_PAIRS", 17)
    matrix = scipy.sparse.random_array((101, 101), density=density, rng=0, format="coo")
    same_components(*gd.connected_components(matrix), matrix)


def test_components_of_neighbours_are_those_of_scipy(result: KnnResult) -> None:
    matrix = result.to_csr()
    matrix.data += 1  # scipy takes the zeros of equal rows for no edge
    same_components(*gd.connected_components(result), matrix)


def test_a_chain_is_one_component_in_any_order() -> None:
    order = np.random.default_rng(0).permutation(10_001)
    ends = np.ones(10_000), (order[:-1], order[1:])
    count, labels = gd.connected_components(scipy.sparse.coo_array(ends, shape=(10_001, 10_001)))
    assert (count, labels.max(), labels.dtype) == (1, 0, np.int32)


def test_stored_zeros_are_edges_and_no_rows_are_no_components() -> None:
    matrix = scipy.sparse.coo_array((np.zeros(1), ([0], [2])), shape=(3, 3))
    count, labels = gd.connected_components(matrix)
    assert (count, labels.tolist()) == (2, [0, 1, 0])
    assert gd.connected_components(scipy.sparse.csr_array((0, 0)))[0] == 0


def test_components_are_those_of_one_set(x: gd.Points) -> None:
    two = gd.knn(x, x[:7], k=2).compute()
    for graph in (two, scipy.sparse.csr_array((2, 3)), np.eye(3)):
        with pytest.raises(gd.SpecError, match=r"one set|takes a result"):
            gd.connected_components(graph)
