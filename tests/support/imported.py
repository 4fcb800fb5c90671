"""What the fork server imports before it forks; it opens neither database nor network."""

import gc

import sqlalchemy.dialects.mysql.pymysql
import sqlalchemy.dialects.sqlite  # noqa: F401
from sqlalchemy.orm import configure_mappers

import tests.support.park
import tests.support.racers  # noqa: F401

configure_mappers()
gc.collect()
gc.freeze()  # a collection in a child would copy every page that it has from here
