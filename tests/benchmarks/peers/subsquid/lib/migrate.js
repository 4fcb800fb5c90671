"use strict";
// What squid-typeorm-migration does before the first start: the tables.
const { createOrmConfig } = require("@subsquid/typeorm-config");
const { DataSource } = require("typeorm");

(async () => {
  const source = new DataSource({ ...createOrmConfig({ projectDir: process.cwd() }), synchronize: true });
  await source.initialize();
  await source.destroy();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
